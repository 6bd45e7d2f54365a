"""From a draft to a policy in force: edit, validate, publish, take back. Nothing published changes.

A draft may be wrong, and says so; only one without errors is published.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock, ids
from core.context import Context
from core.errors import Conflict, FieldError, Invalid
from core.networks import Catalog
from core.pages import page_of
from core.singleton import lock_number
from merchants.tables import ApiKey, Merchant
from risk.coverage import warnings
from risk.document import EMPTY, parse
from risk.policies import newest
from risk.rules import Ruleset
from risk.tables import PolicyDraft, PolicyVersion

THE_DRAFT = 1


async def write(
    session: AsyncSession,
    document: Mapping[str, Any],
    version: int,
    author: UUID | None,
    now: datetime,
) -> PolicyDraft:
    """Replaces the draft that has `version` (0: there is none). Raises Conflict `draft_changed`."""
    draft = await _locked(session)
    _unchanged(draft, version)
    if draft is None:
        draft = PolicyDraft(id=THE_DRAFT, version=0)
        session.add(draft)
    draft.version += 1
    draft.document, draft.author, draft.updated_at = dict(document), author, now
    await session.flush()
    return draft


async def publish(
    session: AsyncSession,
    context: Context,
    version: int,
    author: UUID | None,
    note: str | None,
    now: datetime,
) -> PolicyVersion:
    """Puts the draft in force. Raises Conflict `no_draft` or `draft_changed`, Invalid."""
    draft = _there(await _locked(session))
    _unchanged(draft, version)
    return await _publish(session, context.catalog, draft.document, author, note, now)


async def roll_back(
    session: AsyncSession,
    context: Context,
    number: int,
    author: UUID | None,
    note: str | None,
    now: datetime,
) -> PolicyVersion:
    """Puts an earlier policy in force again, as a new version. Raises Invalid."""
    await _locked(session)
    query = select(PolicyVersion).where(PolicyVersion.number == number)
    earlier = (await session.scalars(query)).first()
    if earlier is None:
        raise Invalid.of("version", "was never published")
    return await _publish(session, context.catalog, earlier.document, author, note, now)


async def _publish(
    session: AsyncSession,
    catalog: Catalog,
    document: dict[str, Any],
    author: UUID | None,
    note: str | None,
    now: datetime,
) -> PolicyVersion:
    parse(document, catalog)
    before = await newest(session)
    number = before.number + 1 if before else 1
    row = PolicyVersion(
        id=ids.new(), number=number, document=document, author=author, note=note, created_at=now
    )
    session.add(row)
    await session.flush()
    return row


async def find_draft(session: AsyncSession) -> PolicyDraft | None:
    return await session.get(PolicyDraft, THE_DRAFT)


async def rules_of_draft(session: AsyncSession, catalog: Catalog) -> Ruleset:
    """Raises Conflict `no_draft`, Invalid `invalid_policy`."""
    return parse(_there(await find_draft(session)).document, catalog)


def _there(draft: PolicyDraft | None) -> PolicyDraft:
    if draft is None:
        raise Conflict("there is no draft", code="no_draft")
    return draft


async def history(
    session: AsyncSession, *, limit: int, cursor: UUID | None
) -> tuple[list[PolicyVersion], bool]:
    """Published policies, newest first, and whether there are more."""
    return await page_of(session, PolicyVersion, limit, cursor)


async def review(
    session: AsyncSession, catalog: Catalog, document: Mapping[str, Any]
) -> dict[str, Any]:
    """`{errors, warnings}` of a document: what forbids to publish it, and what to look at."""
    try:
        ruleset = parse(document, catalog)
    except Invalid as error:
        return {"errors": [_shown(e) for e in error.errors], "warnings": []}
    return {"errors": [], "warnings": [*await _strangers(session, ruleset), *warnings(ruleset)]}


def _shown(error: FieldError) -> dict[str, str]:
    return {"field": error.field, "message": error.message}


async def _strangers(session: AsyncSession, ruleset: Ruleset) -> list[dict[str, str]]:
    """Merchants and keys that a rule names and nobody has: it waits for what never comes."""
    named = [
        *((f"rules.{i}.who.merchants", "mer", r.merchants) for i, r in enumerate(ruleset.rules)),
        *((f"rules.{i}.who.keys", "key", r.keys) for i, r in enumerate(ruleset.rules)),
        *((f"deposits.{i}.merchants", "mer", r.merchants) for i, r in enumerate(ruleset.deposits)),
    ]
    all_ids = {value for _, _, values in named for value in values or ()}
    known = set(await session.scalars(select(Merchant.id).where(Merchant.id.in_(all_ids))))
    live = select(ApiKey.id).where(ApiKey.id.in_(all_ids), ApiKey.revoked_at.is_(None))
    known |= set(await session.scalars(live))
    return [
        {
            "code": "unknown",
            "field": field,
            "message": f"names {ids.show(prefix, value)}, which is not there",
        }
        for field, prefix, values in named
        for value in sorted(set(values or ()) - known)
    ]


async def _locked(session: AsyncSession) -> PolicyDraft | None:
    """The draft, with everybody else who edits or publishes kept waiting."""
    await session.execute(
        text("select pg_advisory_xact_lock(:n)"), {"n": lock_number("policy draft")}
    )
    return await session.get(PolicyDraft, THE_DRAFT, populate_existing=True)


def _unchanged(draft: PolicyDraft | None, version: int) -> None:
    current = draft.version if draft else 0
    if version != current:
        raise Conflict(
            f"the draft is version {current} by now, not {version}: read it again",
            code="draft_changed",
        )


def show(row: PolicyVersion) -> dict[str, Any]:
    """The API's JSON of a published policy."""
    return {
        "id": ids.show("pol", row.id),
        "object": "policy",
        "version": row.number,
        **_parts(row.document),
        "author": ids.show("key", row.author) if row.author else None,
        "note": row.note,
        "created_at": clock.show(row.created_at),
    }


def show_draft(row: PolicyDraft) -> dict[str, Any]:
    """The API's JSON of the draft, without its review."""
    return {
        "object": "policy_draft",
        "version": row.version,
        **_parts(row.document),
        "author": ids.show("key", row.author) if row.author else None,
        "updated_at": clock.show(row.updated_at),
    }


def _parts(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: document.get(name) or EMPTY[name] for name in EMPTY}
