"""Our contracts as a person asks after them: rare calls, made by web3.

The hot path parses JSON itself (CHAIN 1); here readability counts, and what web3 knows of ABIs,
checksums and reverts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import ClientError
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.exceptions import Web3Exception

from core.errors import EndpointFailed

_ZERO = "0x" + "00" * 20


def _getter(name: str, kind: str) -> dict[str, Any]:
    output = {"name": "", "type": kind}
    return {
        "type": "function",
        "name": name,
        "inputs": [],
        "outputs": [output],
        "stateMutability": "view",
    }


_FACTORY = [
    _getter("INIT_CODE_HASH", "bytes32"),
    _getter("owner", "address"),
    _getter("treasury", "address"),
    _getter("proposedTreasury", "address"),
    _getter("effectiveFrom", "uint256"),
]
_TOKEN = [_getter("decimals", "uint8")]
_ROUTER = [_getter("factory", "address"), _getter("quoteKey", "address")]


@dataclass(frozen=True, slots=True)
class FactoryState:
    """What a DepositFactory says of itself; addresses in EIP-55, None for the zero address.

    `proposed` becomes the treasury at `effective_from` (unix seconds) at the earliest.
    """

    init_code_hash: str
    owner: str | None
    treasury: str | None
    proposed: str | None
    effective_from: int


@dataclass(frozen=True, slots=True)
class RouterState:
    """What a PaymentRouter says of itself; addresses in EIP-55, None for the zero address."""

    factory: str | None
    quote_key: str | None


class Contracts:
    """Reads contracts through one endpoint, as an async context manager. `timeout` in seconds."""

    def __init__(self, url: str, *, timeout: int = 10) -> None:
        self._provider = AsyncHTTPProvider(url, request_kwargs={"timeout": timeout})
        self._web3 = AsyncWeb3(self._provider)

    async def __aenter__(self) -> Contracts:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._provider.disconnect()

    async def factory(self, address: str) -> FactoryState | None:
        """None where there is no contract. Raises EndpointFailed."""
        if not await self.has_code(address):
            return None
        init_code_hash, owner, treasury, proposed, effective_from = [
            await self._read(address, _FACTORY, entry["name"]) for entry in _FACTORY
        ]
        return FactoryState(
            "0x" + bytes(init_code_hash).hex(),
            _known(owner),
            _known(treasury),
            _known(proposed),
            int(effective_from),
        )

    async def router(self, address: str) -> RouterState | None:
        """None where there is no contract. Raises EndpointFailed."""
        if not await self.has_code(address):
            return None
        factory, quote_key = [
            await self._read(address, _ROUTER, entry["name"]) for entry in _ROUTER
        ]
        return RouterState(_known(factory), _known(quote_key))

    async def decimals(self, token: str) -> int | None:
        """None where there is no contract. Raises EndpointFailed."""
        if not await self.has_code(token):
            return None
        return int(await self._read(token, _TOKEN, "decimals"))

    async def has_code(self, address: str) -> bool:
        """Raises EndpointFailed."""
        try:
            return bool(await self._web3.eth.get_code(self._web3.to_checksum_address(address)))
        except (Web3Exception, ClientError, TimeoutError) as error:
            raise EndpointFailed(f"{address}: {type(error).__name__}") from None

    async def _read(self, address: str, abi: list[dict[str, Any]], name: str) -> Any:
        target = self._web3.to_checksum_address(address)
        try:
            return await self._web3.eth.contract(address=target, abi=abi).functions[name]().call()
        except (Web3Exception, ClientError, TimeoutError) as error:
            raise EndpointFailed(f"{address} {name}(): {type(error).__name__}") from None


def _known(address: str) -> str | None:
    return None if address.lower() == _ZERO else address
