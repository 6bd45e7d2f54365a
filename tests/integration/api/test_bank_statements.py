"""/v1/bank_statements, /v1/bank_lines and /v1/bank_accounts over HTTP: who may, what is shown."""

from __future__ import annotations

import pytest

from api.bank_accounts import BankAccount
from api.bank_statements import BankLine, BankStatement
from core.banks import BankAccount as Account
from core.money import FIAT
from tests.integration.api.conftest import World
from tests.unit.treasury.test_camt import IBAN, document, entry

PATH = "/v1/bank_statements"


@pytest.fixture(autouse=True)
def banks(world: World) -> None:
    world.context.banks = {
        "main": Account(id="main", name="House bank", asset=FIAT["EUR"], iban=IBAN)
    }


async def test_a_statement_its_lines_and_the_balance(world: World) -> None:
    content = document(
        entries=entry("12.50") + entry("2.00", "DBIT"), opening="1.00", closing="11.50"
    )
    body = {"account": "main", "content": content}
    answer = await world.operator.post(PATH, body)
    assert answer.status == 201, answer.body
    [made] = answer.json["data"]
    BankStatement.model_validate(made)
    assert (made["opening"], made["closing"], made["lines"]) == ("1.00", "11.50", 2)
    assert (await world.operator.post(PATH, body)).json == answer.json
    assert (await world.operator.get(f"{PATH}/{made['id']}")).json == made
    assert (await world.operator.get(f"{PATH}?account=main")).json["data"] == [made]
    lines = (await world.operator.get(f"/v1/bank_lines?statement={made['id']}&status=open")).json
    assert sorted(line["amount"] for line in lines["data"]) == ["-2.00", "12.50"]
    [BankLine.model_validate(line) for line in lines["data"]]
    [account] = (await world.operator.get("/v1/bank_accounts")).json["data"]
    BankAccount.model_validate(account)
    assert account["balance"] == "11.50"
    breaks = (await world.operator.get("/v1/breaks?place=bank:main")).json["data"]
    assert sorted(one["difference"] for one in breaks) == ["-2.00", "12.50"]
    assert breaks[0]["resolutions"] == ["explained", "write_off", "owner_funds"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"account": "none", "content": "x"}, 422, "unknown_account"),
        ({"account": "main", "content": "a,b"}, 422, "no_mapping"),
        ({"account": "main", "content": "<a/>"}, 422, "unreadable_statement"),
        ({"account": "main", "content": "<a>\ud800"}, 422, None),
        (
            {"account": "main", "content": document(iban="DE02120300000000202051")},
            422,
            "wrong_account",
        ),
        (
            {"account": "main", "content": document(closing="0.01")},
            422,
            "statement_does_not_add_up",
        ),
    ],
)
async def test_refusals(world: World, body: dict[str, str], status: int, code: str | None) -> None:
    answer = await world.operator.post(PATH, body)
    assert answer.status == status, answer.body
    assert code is None or answer.code == code
    if code == "statement_does_not_add_up":
        assert answer.json["difference"] == "0.01"


async def test_only_operators(world: World) -> None:
    body = {"account": "main", "content": document()}
    assert (await world.one.post(PATH, body)).status == 403
    for path in (PATH, "/v1/bank_lines", "/v1/bank_exports"):
        assert (await world.one.get(path)).status == 403


async def test_a_line_that_is_none(world: World) -> None:
    asked = {"moves": ["mov_" + "0" * 26]}
    answer = await world.operator.post("/v1/bank_lines/bln_x/match", asked)
    assert (answer.status, answer.code) == (404, "not_found")
    content = document(entries=entry("1.00"), closing="1.00")
    await world.operator.post(PATH, {"account": "main", "content": content})
    [line] = (await world.operator.get("/v1/bank_lines")).json["data"]
    answer = await world.operator.post(f"/v1/bank_lines/{line['id']}/match", asked)
    assert (answer.status, answer.code) == (422, "unknown_move")
