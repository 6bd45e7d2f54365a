"""A counter to pay at: the real checkout over a real chain, and everything behind it at work."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import urllib.request
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvicorn
from eth_account import Account
from eth_account.messages import encode_typed_data
from fastapi import FastAPI
from playwright.sync_api import Page

from api import errors
from api.edge import Edge
from bezant.bootstrap import CHANNELS
from core.context import Limits
from core.db import Database
from tests.integration.router.rig import Till, open_till
from tests.world import Deployed
from web.routes import router

T = TypeVar("T")

# EIP-6963, and requests to a wallet in Python. `__answer` is exposed by the test.
PROVIDER = """
(() => {
  const request = async ({ method, params }) => {
    const answer = await window.__answer(method, params ?? []);
    if (answer.error) throw Object.assign(new Error(answer.error.message), answer.error);
    return answer.result;
  };
  const info = { uuid: "350670db-19fa-4704-a166-e52e178b59d2", name: "Test <Wallet>",
                 icon: "data:image/svg+xml,", rdns: "test.wallet" };
  const announce = () => window.dispatchEvent(new CustomEvent("eip6963:announceProvider",
    { detail: Object.freeze({ info, provider: { request } }) }));
  window.addEventListener("eip6963:requestProvider", announce);
})();
"""


@dataclass
class Purse:
    """A browser's wallet: one account, whose owner says yes unless `declines` names the method."""

    nodes: dict[int, str]  # chain id -> RPC
    account: Any = field(default_factory=Account.create)
    chain_id: int = 31337
    known: set[int] = field(default_factory=lambda: {1, 31337, 31338})
    declines: set[str] = field(default_factory=set)
    cannot: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def install(self, page: Page) -> None:
        page.expose_function("__answer", self.answer)
        page.add_init_script(PROVIDER)

    def answer(self, method: str, params: list[Any]) -> dict[str, Any]:
        self.asked.append(method)
        if method in self.declines:
            return {"error": {"code": 4001, "message": "User rejected the request."}}
        if method in self.cannot:
            return {"error": {"code": 4200, "message": "Unsupported."}}
        try:
            return {"result": self._do(method, params)}
        except Refusal as error:
            return {"error": {"code": error.code, "message": str(error)}}

    def _do(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_requestAccounts":
                return [self.account.address]
            case "eth_chainId":
                return hex(self.chain_id)
            case "wallet_switchEthereumChain" | "wallet_addEthereumChain":
                wanted = int(params[0]["chainId"], 16)
                if method == "wallet_addEthereumChain":
                    assert params[0]["rpcUrls"] == [self.nodes[wanted]]
                    self.known.add(wanted)
                elif wanted not in self.known:
                    raise Refusal(4902, "Unrecognized chain ID.")
                self.chain_id = wanted
                return None
            case "eth_signTypedData_v4":
                assert params[0] == self.account.address
                signable = encode_typed_data(full_message=_typed(json.loads(params[1])))
                return "0x" + bytes(self.account.sign_message(signable).signature).hex()
            case "eth_sendTransaction":
                return self._send(params[0])
            case _:
                return self.rpc(method, *params)

    def _send(self, call: dict[str, Any]) -> str:
        estimated = int(self.rpc("eth_estimateGas", call), 16)
        signed = self.account.sign_transaction(
            {
                "type": 2,
                "chainId": self.chain_id,
                "nonce": int(self.rpc("eth_getTransactionCount", call["from"], "latest"), 16),
                "to": bytes.fromhex(call["to"][2:]),
                "value": int(call["value"], 16),
                "data": call["data"],
                "gas": estimated * 2,
                "maxFeePerGas": 10**11,
                "maxPriorityFeePerGas": 10**9,
            }
        )
        return str(self.rpc("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex()))

    def rpc(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        request = urllib.request.Request(  # noqa: S310 - our own Anvil
            self.nodes[self.chain_id],
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            reply = json.loads(answer.read())
        if "error" in reply:
            raise Refusal(-32000, str(reply["error"]))
        return reply["result"]


class Refusal(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def _typed(message: dict[str, Any]) -> dict[str, Any]:
    """Numbers come as text, as wallets take them; hashes as 0x text."""
    fields = {f["name"]: f["type"] for f in message["types"][message["primaryType"]]}
    for name, kind in fields.items():
        if kind == "uint256":
            message["message"][name] = int(message["message"][name])
        if kind == "bytes32":
            message["message"][name] = bytes.fromhex(message["message"][name][2:])
    return message


@dataclass
class Counter:
    """`run` does something in the thread where everything lives."""

    till: Till
    url: str
    loop: asyncio.AbstractEventLoop

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(doing, self.loop).result(30)

    def purse(self, **options: Any) -> Purse:
        world = self.till.world
        nodes = {int(name.split(":")[1]): node.url for name, node in world.nodes.items()}
        return Purse(nodes={**nodes, 1: world.node.url}, **options)

    def link(self, invoice: dict[str, Any]) -> str:
        return f"{self.url}/pay/{invoice['id']}"


@contextmanager
def open_counter(database_url: str, *chains: tuple[str, Deployed]) -> Iterator[Counter]:
    """Serves and works until the block ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    opened: list[Counter] = []
    started, stopping = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            database = Database(database_url)
            till = await stack.enter_async_context(
                open_till(database, *chains, public_rpc_url=chains[0][0])
            )
            context = till.world.context
            context.limits = Limits(public_per_second=1000, public_burst=1000)
            tasks = [asyncio.create_task(context.listener.run(CHANNELS))]
            await context.listener.ready.wait()
            for name in context.catalog.networks:
                loops = (
                    till.quoting[name].run(), till.relaying[name].run(), till.sending[name].run(),
                    till.world.followings[name].run(),
                )  # fmt: skip
                tasks += [asyncio.create_task(one) for one in loops]
            app = FastAPI()
            errors.install(app)
            app.add_middleware(Edge)
            app.include_router(router(context))
            config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
            server = uvicorn.Server(config)
            tasks.append(asyncio.create_task(server.serve(sockets=[listening])))
            opened.append(Counter(till, url, asyncio.get_running_loop()))
            started.set()
            await stopping.wait()
            server.should_exit = True
            await tasks.pop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await database.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(30), "the counter does not open"
    try:
        yield opened[0]
    finally:
        opened[0].loop.call_soon_threadsafe(stopping.set)
        thread.join(20)
