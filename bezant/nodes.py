"""What `bezant doctor` asks of a network: its nodes, our contracts on it, its feeds."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime

from chain import oracle
from chain.contracts import Contracts
from chain.decode import number
from chain.endpoints import Endpoint, Endpoints
from chain.wire import BLOCK_BY_NUMBER, CHAIN_ID, TRACE_BLOCK, TRACE_BY_HASH, Header
from core.clock import show, wall
from core.errors import ChainError, Misconfigured
from core.networks import Network, Token, Traces
from wallets.addresses import checksum

Row = tuple[str, str, str]  # verdict, about, sentence
TIMEOUT_SECONDS = 10.0
OLD_BLOCKS = 20  # a head older than so many block times is no head

_METHODS = {
    Traces.DEBUG: "debug_traceBlockByHash",
    Traces.TRACE: "trace_block",
}


async def examine(network: Network) -> list[Row]:
    """Findings of one network; a node that does not answer is one of them, never an exception."""
    async with Endpoints(network, timeout=TIMEOUT_SECONDS) as endpoints:
        rows = [await _guarded(f"node {e.name}", _node(network, e)) for e in endpoints.all]
        best = endpoints.ranked()[0]
        rows.append(await _guarded("traces", _traces(network, best)))
        url = network.rpc_urls[endpoints.all.index(best)]
        async with Contracts(url, timeout=int(TIMEOUT_SECONDS)) as contracts:
            rows.append(await _guarded("factory", _factory(network, contracts)))
            rows += [
                await _guarded(about, _code(contracts, address))
                for about, address in (
                    ("multisend", network.multisend),
                    ("sanctions oracle", network.sanctions_oracle),
                )
                if address is not None
            ]
            rows += [
                await _guarded(f"token {token.asset.symbol}", _token(contracts, token))
                for token in network.tokens
                if not token.is_native
            ]
        rows.append(await _guarded("feeds", _feeds(network, endpoints)))
    return rows


async def _guarded(about: str, check: Awaitable[tuple[str, str]]) -> Row:
    try:
        verdict, sentence = await check
    except (ChainError, Misconfigured) as error:
        return "bad", about, f"{error}."
    return verdict, about, sentence


async def _node(network: Network, endpoint: Endpoint) -> tuple[str, str]:
    chain_id = number(await endpoint.rpc.call(CHAIN_ID))
    if chain_id != network.chain_id:
        return "bad", f"its chain id is {chain_id}, {network.chain_id} is configured."
    header: Header | None = await endpoint.rpc.call(BLOCK_BY_NUMBER, "latest", False)
    if header is None:
        return "bad", "it has no blocks."
    height = number(header.number)
    age = int(wall().timestamp()) - number(header.timestamp)
    if network.block_seconds and age > OLD_BLOCKS * network.block_seconds:
        return "bad", f"its head {height} is {age} s old: it does not follow the network."
    return "ok", f"head {height}, {max(0, age)} s old."


async def _traces(network: Network, endpoint: Endpoint) -> tuple[str, str]:
    coin = network.tokens[0].asset.symbol
    if network.traces is Traces.NONE:
        sentence = (
            f"without traces {coin} sent by contracts is found by comparing balances of open"
            " addresses: later, dated at the first block with state, and not after an address's"
            " monitoring ends."
        )
        return "note", sentence
    header: Header | None = await endpoint.rpc.call(BLOCK_BY_NUMBER, "latest", False)
    if header is not None and network.traces is Traces.DEBUG:
        await endpoint.rpc.call(TRACE_BY_HASH, header.hash, {"tracer": "callTracer"})
    elif header is not None:
        await endpoint.rpc.call(TRACE_BLOCK, header.number)
    return "ok", f"{coin} sent by contracts is found by {_METHODS[network.traces]}."


async def _factory(network: Network, contracts: Contracts) -> tuple[str, str]:
    if network.factory is None:
        return "bad", f"networks.{network.id}.factory is missing: no deposit address can be made."
    state = await contracts.factory(network.factory)
    if state is None:
        return "bad", f"there is no contract at {checksum(network.factory)}."
    if state.init_code_hash != network.deposit_init_code_hash:
        return "bad", "it is another contract: its deposit addresses are not the ones we compute."
    if state.owner is None or state.treasury is None:
        return "bad", "it has no treasury yet: no sweep works until setTreasury was called here."
    sentence = f"owner {state.owner}, treasury {state.treasury}."
    if state.proposed is None:
        return "ok", sentence
    since = datetime.fromtimestamp(state.effective_from, UTC)
    return "note", f"{sentence} {state.proposed} is proposed, from {show(since)} on."


async def _code(contracts: Contracts, address: str) -> tuple[str, str]:
    if not await contracts.has_code(address):
        return "bad", f"there is no contract at {checksum(address)}."
    return "ok", f"it is at {checksum(address)}."


async def _token(contracts: Contracts, token: Token) -> tuple[str, str]:
    decimals = token.asset.decimals
    found = await contracts.decimals(token.address)
    if found != decimals:
        return "bad", f"{checksum(token.address)} says {found} decimals, {decimals} is configured."
    return "ok", f"{decimals} decimals, as configured."


async def _feeds(network: Network, endpoints: Endpoints) -> tuple[str, str]:
    if not network.feeds:
        return "note", "none is configured: prices must come from another network."
    await oracle.check(endpoints)
    reading = await oracle.read(endpoints)
    now = int(wall().timestamp())
    silent = []
    for feed in network.feeds:
        latest = reading.rounds[feed.address]
        limit = feed.heartbeat_seconds + feed.grace_seconds
        if latest is None or now - latest.updated_at > limit:
            silent.append(feed.pair)
    if silent:
        return "bad", f"older than their heartbeat, or silent: {', '.join(silent)}."
    return "ok", f"{', '.join(feed.pair for feed in network.feeds)} are what they should be."
