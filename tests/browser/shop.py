"""A shop to look at: the real pages served by uvicorn over a real database, driven by its rows."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from api import errors
from api.edge import Edge
from core import ids
from core.clock import Clock, wall
from core.context import Context, Limits
from core.db import Database, driver_url
from core.listen import Listener
from core.money import Asset, crypto
from core.networks import NATIVE, Catalog, Network, Token
from core.secrets import SecretBox
from merchants.tables import Merchant
from payments.tables import Deposit, Invoice, NetworkCursor
from payments.values import SCALE, owed
from web.routes import router

ADDRESS = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
CHECKSUMMED = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # EIP-55's own example
USDC = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
PRICES = {"ETH": 2500 * SCALE, "USDC": SCALE, "DAI": SCALE}
HEAD = 1_000


def network(number: int, name: str, *assets: tuple[str, Asset]) -> Network:
    return Network(
        id=f"eip155:{number}",
        chain_id=number,
        name=name,
        rpc_urls=(),
        block_seconds=12,
        poll_ms=1000,
        tokens=tuple(Token(asset=asset, address=address) for address, asset in assets),
    )


ETH, DOLLAR, DAI = (NATIVE, crypto("ETH", 18)), (USDC, crypto("USDC", 6)), crypto("DAI", 18)
CATALOG = Catalog(
    {
        n.id: n
        for n in (
            network(31337, "Ethereum", ETH, DOLLAR, ("0x" + "da" * 20, DAI)),
            network(31338, "Base", ETH, DOLLAR),
        )
    }
)


class Shop:
    """One merchant's rows, and the notifications that the services would send."""

    def __init__(self, database_url: str, context: Context, url: str) -> None:
        self._engine: Engine = create_engine(driver_url(database_url))
        self._context = context
        self.url = url
        self.merchant = ids.new()
        with Session(self._engine) as session, session.begin():
            session.add(
                Merchant(
                    id=self.merchant,
                    name="Fern & Field <Coffee>",
                    settle_in="crypto",
                    spread_percent="0",
                    payout_fee="merchant",
                    webhook_secret=b"",
                    created_at=wall(),
                )
            )
            session.flush()
            for name in CATALOG.networks:
                session.add(_cursor(name, HEAD))

    def close(self) -> None:
        self._engine.dispose()

    def invoice(
        self, *, amount: int = 2500, seconds: int = 872, pairs: int = 9, **columns: Any
    ) -> UUID:
        """An open invoice over `amount` cents with the first `pairs` options of the catalog."""
        now = wall()
        values: dict[str, Any] = {
            "id": ids.new(),
            "merchant_id": self.merchant,
            "status": "new",
            "exception": "none",
            "currency": "USD",
            "currency_decimals": 2,
            "amount": amount,
            "amount_paid": 0,
            "amount_confirmed": 0,
            "tolerance": 0,
            "address": ADDRESS,
            "options": [_option(n, t, amount) for n, t in list(CATALOG.pairs())[:pairs]],
            "reference": "order-1001",
            "description": "Two bags of house espresso, whole beans",
            "metadata_": {"secret": "the shop's own business"},
            "success_url": "https://shop.example/thanks",
            "created_at": now - timedelta(seconds=900 - seconds if seconds < 900 else 0),
            "expires_at": now + timedelta(seconds=seconds),
            "monitored_until": now + timedelta(days=1),
        }
        with Session(self._engine) as session, session.begin():
            session.add(Invoice(**(values | columns)))
        identifier: UUID = (values | columns)["id"]
        return identifier

    def deposit(self, invoice: UUID, amount: int, **columns: Any) -> UUID:
        """A pending deposit of `amount` wei in the newest block, needing 3 confirmations."""
        now = wall()
        values: dict[str, Any] = {
            "id": ids.new(),
            "merchant_id": self.merchant,
            "invoice_id": invoice,
            "network": "eip155:31337",
            "block_hash": "0x" + "b1" * 32,
            "block_number": HEAD,
            "block_time": now,
            "tx_hash": "0x" + ids.new().hex * 2,
            "position": "tx",
            "asset": "ETH",
            "token": NATIVE,
            "amount": amount,
            "sender": "0x" + "5e" * 20,
            "address": ADDRESS,
            "status": "pending",
            "generation": 0,
            "witnessed": False,
            "account": "pending",
            "required": "3",
            "waiting_for": "confirmations",
            "held": False,
            "seen_at": now,
        }
        with Session(self._engine) as session, session.begin():
            session.add(Deposit(**(values | columns)))
        identifier: UUID = (values | columns)["id"]
        return identifier

    def change(self, invoice: UUID, **columns: Any) -> None:
        """An invoice's columns, and the notification that comes with every change."""
        with Session(self._engine) as session, session.begin():
            row = session.get_one(Invoice, invoice)
            for name, value in columns.items():
                setattr(row, name, value)
            session.execute(text("select pg_notify('invoice', :id)"), {"id": invoice.hex})

    def change_deposit(self, deposit: UUID, **columns: Any) -> None:
        with Session(self._engine) as session, session.begin():
            row = session.get_one(Deposit, deposit)
            for name, value in columns.items():
                setattr(row, name, value)

    def block(self, number: int, network_id: str = "eip155:31337") -> None:
        """The network is followed up to `number`."""
        with Session(self._engine) as session, session.begin():
            session.get_one(NetworkCursor, network_id).number = number
            session.execute(text("select pg_notify('block', :id)"), {"id": network_id})

    def advance(self, seconds: int) -> None:
        """The test clock, as every process moves it when its row changed."""
        self._context.clock.set_offset(self._context.clock.offset + timedelta(seconds=seconds))
        with Session(self._engine) as session, session.begin():
            session.execute(text("select pg_notify('clock', '')"))

    def reset(self) -> None:
        """Wall time again, and every network at HEAD."""
        self._context.clock.set_offset(timedelta())
        for name in CATALOG.networks:
            self.block(HEAD, name)

    def link(self, invoice: UUID) -> str:
        return f"{self.url}/pay/{ids.show('inv', invoice)}"


def _cursor(name: str, number: int) -> NetworkCursor:
    now = wall()
    block_hash = "0x" + "b1" * 32
    return NetworkCursor(
        network=name,
        number=number,
        hash=block_hash,
        version=1,
        genesis=block_hash,
        head=number,
        followed_until=now,
        stalled=False,
        endpoints=[],
        updated_at=now,
    )


def _option(network: Network, token: Token, amount: int) -> Mapping[str, Any]:
    price = PRICES[token.asset.symbol]
    return {
        "network": network.id,
        "asset": token.asset.symbol,
        "asset_id": token.asset_id,
        "token": token.address,
        "decimals": token.asset.decimals,
        "quote_decimals": token.asset.quote_decimals,
        "amount": str(owed(amount, Asset("USD", 2, 2, is_fiat=True), token.asset, price)),
        "rate": str(price),
        "price": {"source": "chainlink", "feed": "0x" + "fe" * 20, "age_seconds": 4},
    }


@contextmanager
def open_shop(database_url: str, limits: Limits | None = None) -> Iterator[Shop]:
    """Serves until the block ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    started = threading.Event()
    running: list[uvicorn.Server] = []
    contexts: list[Context] = []

    async def serve() -> None:
        database = Database(database_url)
        context = Context(
            database=database,
            clock=Clock(),
            listener=Listener(database),
            catalog=CATALOG,
            secrets=SecretBox({1: bytes(32)}),
            public_url=url,
            sandbox=True,
            limits=limits or Limits(public_per_second=1000, public_burst=1000),
        )
        app = FastAPI()
        errors.install(app)
        app.add_middleware(Edge)
        app.include_router(router(context))
        listener = asyncio.create_task(context.listener.run(("invoice", "block", "clock")))
        await context.listener.ready.wait()
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        )
        running.append(server)
        contexts.append(context)
        started.set()
        await server.serve(sockets=[listening])
        listener.cancel()
        await database.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(20), "the shop does not open"
    shop = Shop(database_url, contexts[0], url)
    try:
        yield shop
    finally:
        shop.close()
        running[0].should_exit = True
        thread.join(20)
