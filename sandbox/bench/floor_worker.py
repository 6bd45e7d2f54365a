"""The floor of the delivery measure: each new head is fetched, committed and posted, no more.

`python -m sandbox.bench.floor_worker <fd> <ws url> <http url> <database url> <sink url>`; the
socket is a way for the bench to see that it runs.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys

import aiohttp
import psycopg

from sandbox.bench import loops

SUBSCRIBE = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}


async def work(fd: int, push: str, node: str, database: str, sink: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        await psycopg.AsyncConnection.connect(database, autocommit=True) as connection,
        session.ws_connect(push, max_msg_size=0) as heads,
    ):
        await heads.send_json(SUBSCRIBE)
        await heads.receive_json()
        answering = await asyncio.start_server(_answer, sock=socket.socket(fileno=fd))
        async with answering:
            async for message in heads:
                number = json.loads(message.data)["params"]["result"]["number"]
                call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber",
                        "params": [number, True]}  # fmt: skip
                async with session.post(node, json=call) as response:
                    block = json.loads(await response.read())["result"]
                await connection.execute(
                    "insert into heads (hash, transactions) values (%s, %s)",
                    (block["hash"], len(block["transactions"])),
                )
                async with session.post(sink, json={"floor": block["hash"]}) as response:
                    await response.read()


async def _answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    writer.close()


if __name__ == "__main__":
    loops.run(work(int(sys.argv[1]), *sys.argv[2:6]))
