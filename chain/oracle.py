"""Chainlink's feeds, read: all of a network's at one block hash, in one batch of calls.

Nothing is judged here (prices.judge does). Source of the interface: Chainlink's
AggregatorV3Interface, read through the proxy; `answeredInRound` is deprecated and unused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from chain import views
from chain.decode import number
from chain.endpoints import Endpoint, Endpoints, tag
from chain.views import DECIMALS
from chain.wire import BLOCK_BY_NUMBER, Header, Reply
from core.errors import Misconfigured
from core.networks import Feed, Network

_LATEST = views.plain("latestRoundData()")
_DESCRIPTION = views.plain("description()")
_ROUND = ("uint80", "int256", "uint256", "uint256", "uint80")


@dataclass(frozen=True, slots=True)
class RoundData:
    """What a feed answered at a block. `answer` is in the feed's own decimals.

    `started_at` and `updated_at` are unix seconds as the contract says them: up to 2^256.
    """

    feed: str
    round_id: int
    answer: int
    started_at: int
    updated_at: int
    block_hash: str
    block_number: int


@dataclass(frozen=True, slots=True)
class Reading:
    """All feeds of a network at one block, by address; None where a feed gave no usable answer.

    `sequencer` is the L2 uptime feed's round: answer 0 is up, 1 is down since `started_at`.
    """

    block_hash: str
    block_number: int
    rounds: dict[str, RoundData | None]
    sequencer: RoundData | None
    endpoint: Endpoint


async def read(endpoints: Endpoints) -> Reading:
    """The network's feeds now, from the best endpoint that answers.

    Raises the last endpoint's ChainError when none does.
    """
    network = endpoints.network
    addresses = [feed.address for feed in network.feeds]
    if network.sequencer_feed is not None:
        addresses.append(network.sequencer_feed)
    header, replies, endpoint = await views.ask(endpoints, [(a, _LATEST) for a in addresses])
    rounds = {
        address: _round(address, reply, header)
        for address, reply in zip(addresses, replies, strict=True)
    }
    sequencer = rounds[network.sequencer_feed] if network.sequencer_feed else None
    return Reading(header.hash, number(header.number), rounds, sequencer, endpoint)


async def hash_at(endpoint: Endpoint, height: int) -> str | None:
    """The hash this endpoint holds at a height, None above its head. Raises ChainError."""
    header = await endpoint.rpc.call(BLOCK_BY_NUMBER, tag(height), False)
    return header.hash if header else None


async def check(endpoints: Endpoints) -> None:
    """Compares `description()` and `decimals()` of each feed with the configuration.

    Raises Misconfigured naming feed, value and what is expected; ChainError when nobody answers.
    """
    network = endpoints.network
    feeds = network.feeds
    asked = [(feed.address, what) for feed in feeds for what in (_DESCRIPTION, DECIMALS)]
    if network.sequencer_feed is not None:
        asked.append((network.sequencer_feed, _LATEST))
    if not asked:
        return
    header, replies, _ = await views.ask(endpoints, asked)
    for index, feed in enumerate(feeds):
        description, decimals = replies[2 * index : 2 * index + 2]
        _compare(network, feed, "description", views.one("string", description), feed.description)
        _compare(network, feed, "decimals", views.one("uint8", decimals), feed.decimals)
    if network.sequencer_feed and _round(network.sequencer_feed, replies[-1], header) is None:
        raise Misconfigured(
            f"networks.{network.id}.sequencer_feed: {network.sequencer_feed} answers no"
            " latestRoundData(), Chainlink's uptime feed is expected"
        )


def _compare(network: Network, feed: Feed, what: str, found: Any, expected: Any) -> None:
    if found == expected:
        return
    answer = f"answers no {what}()" if found is None else f"says {what} {found!r}"
    raise Misconfigured(
        f"networks.{network.id}.feeds.{feed.pair}: the feed at {feed.address} {answer},"
        f" {expected!r} is expected"
    )


def _round(address: str, reply: Reply[str], header: Header) -> RoundData | None:
    data = views.answered(reply)
    try:
        round_id, answer, started_at, updated_at, _ = decode(_ROUND, data or b"")
    except DecodingError:
        return None
    return RoundData(
        feed=address,
        round_id=round_id,
        answer=answer,
        started_at=started_at,
        updated_at=updated_at,
        block_hash=header.hash,
        block_number=number(header.number),
    )
