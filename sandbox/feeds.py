"""Mock Chainlink feeds: set by hand, or kept fresh by us as long as nobody touched them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from eth_abi.abi import decode

from sandbox import contracts
from sandbox.node import Node

LATEST = contracts.call("latestRoundData()")
_ROUND = ["uint80", "int256", "uint256", "uint256", "uint80"]


@dataclass(frozen=True, slots=True)
class Round:
    """What a feed says now: 8 decimals, unix seconds."""

    id: int
    answer: int
    started_at: int
    updated_at: int

    @property
    def ours(self) -> bool:
        """Made by deployment or `refresh`, which starts its rounds a second early: the mark lies
        on the chain itself, so it survives restarts and is undone by a reorg as the price is."""
        return self.id == 1 or self.started_at == self.updated_at - 1


async def rounds(node: Node, feeds: Collection[str]) -> dict[str, Round]:
    """The latest round of each feed, by address."""
    answers = await node.many(
        [("eth_call", [{"to": feed, "data": LATEST}, "latest"]) for feed in feeds]
    )
    return {
        feed: Round(*decode(_ROUND, bytes.fromhex(answer[2:]))[:4])
        for feed, answer in zip(feeds, answers, strict=True)
    }


async def set_by_hand(node: Node, feed: str, answer: int, updated_at: int) -> int:
    """A new round; returns its id. From then on the feed is left alone."""
    data = contracts.call("set(int256,uint256)", answer, max(0, updated_at))
    await node.send_as_faucet([(feed, data)])
    return (await rounds(node, [feed]))[feed].id


async def stale(
    node: Node, feeds: Collection[str], now: int, *, older_than: int
) -> dict[str, Round]:
    """Those of ours whose round is older than so many seconds, or lies ahead of the clock."""
    found = await rounds(node, feeds)
    return {
        feed: r for feed, r in found.items() if r.ours and not 0 <= now - r.updated_at <= older_than
    }


def renewal(feed: str, latest: Round, now: int, answer: int | None = None) -> tuple[str, str]:
    """The call that says the same price anew (or `answer`), marked as ours."""
    data = contracts.call(
        "setRound(uint80,int256,uint256,uint256,uint80)",
        latest.id + 1, latest.answer if answer is None else answer, now - 1, now, latest.id + 1,
    )  # fmt: skip
    return feed, data


async def renew(node: Node, old: Mapping[str, Round], now: int) -> None:
    """All in one block."""
    calls = [renewal(feed, latest, now) for feed, latest in old.items()]
    await node.send_as_faucet([contracts.together(calls)])
