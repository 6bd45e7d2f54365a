"""What was read and what was written, without gaps: the blocks of a network, and the ledger."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.db import snapshot
from core.errors import Unavailable
from core.networks import Network
from ledger.breaks import BreakKind, Difference
from ledger.sequence import GENESIS
from ledger.verify import Problem, verify
from reconciliation import marks
from reconciliation.marks import Mark
from reconciliation.parts import MOST_NAMED, BlockFacts, LedgerFacts, Part

AGAIN = 2000  # blocks before the mark that are looked at again: forks change the newest ones

# Stored blocks whose number or parent is not that of the one before; the first of a walk has none.
_BLOCKS = """
with walked as (
    select number, hash, parent_hash, lag(number) over w as before, lag(hash) over w as parent
    from blocks where network = %(network)s and number >= %(first)s
    window w as (order by number)
)
select number, hash, before, parent, parent_hash from walked
where before is not null and (before <> number - 1 or parent <> parent_hash)
order by number limit %(most)s
"""
_ENDS = """
select c.number, c.hash, count(b.number), min(b.number), max(b.number),
    max(b.hash) filter (where b.number = c.number)
from network_cursors c
left join blocks b on b.network = c.network and b.number >= %(first)s
where c.network = %(network)s group by c.number, c.hash
"""
_LOWEST = "select number, hash from blocks where network = %s order by number limit 1"


async def blocks(context: Context, network: Network, run_id: UUID, *, whole: bool) -> Part:
    """Every block from the first to the cursor is there, and names the one before as its parent.

    whole: from the first block that is stored, not from the last run's. Which block was the first
    one that was ever read a mark remembers: no stored block would tell. Raises Unavailable.
    """
    part = Part(f"blocks:{network.id}")
    async with context.database.read() as session:
        connection = await snapshot(session)
        mark = None if whole else await marks.load(session, part.name)
        standing = await marks.oldest_block(session, part.prefix)
        first = max(0, mark.position - AGAIN) if mark else 0
        first = first if standing is None else min(first, standing)
        values = {"network": network.id, "first": first, "most": MOST_NAMED}
        ends = await (await connection.execute(_ENDS, values)).fetchone()
        if ends is None:
            raise Unavailable(f"{network.id} is not followed yet")
        rows = await (await connection.execute(_BLOCKS, values)).fetchall()
        lowest_now = await (await connection.execute(_LOWEST, (network.id,))).fetchone()
        began = await marks.load(session, f"{part.name}:first")
    number, cursor_hash, count, lowest, highest, stored = ends
    part.compared = count
    part.facts = {"first": lowest, "last": highest}
    if lowest_now is not None and (began is None or lowest_now[0] < began.position):
        part.marks[f"{part.name}:first"] = lowest_now
    elif began is not None and (lowest_now is None or lowest_now[0] > began.position):
        facts = BlockFacts(
            network=network.id,
            first=began.position,
            last=number if lowest_now is None else lowest_now[0] - 1,
            hash=None,
            expected_hash=None,
            reason="these blocks were read once",
        )
        part.add(_difference(part, run_id, facts))
    for at, block_hash, before, parent, named in rows:
        gap = before != at - 1
        facts = BlockFacts(
            network=network.id,
            first=before + 1 if gap else at,
            last=at - 1 if gap else at,
            hash=None if gap else block_hash,
            expected_hash=None if gap else parent,
            reason="these blocks were not read" if gap else f"its parent is {named}",
        )
        part.add(_difference(part, run_id, facts))
    if stored != cursor_hash:
        facts = BlockFacts(
            network=network.id,
            first=number if highest is None or highest >= number else highest + 1,
            last=number,
            hash=stored,
            expected_hash=cursor_hash,
            reason="the cursor stands at a block that is not stored",
        )
        part.add(_difference(part, run_id, facts))
    if not rows and stored == cursor_hash:
        part.marks[part.name] = (number, cursor_hash)
    return part


def _difference(part: Part, run_id: UUID, facts: BlockFacts) -> Difference:
    """Blocks without a hash are those that are not there."""
    return Difference(
        key=part.key(facts["first"]),
        kind=BreakKind.MISSING_IN_LEDGER if facts["hash"] is None else BreakKind.ORPHAN,
        place=f"network:{facts['network']}",
        facts=dict(facts),
        run_id=run_id,
    )


_KINDS = {
    "gap": BreakKind.MISSING_IN_LEDGER,
    "missing_entry": BreakKind.MISSING_IN_LEDGER,
    "unchained": BreakKind.ORPHAN,
}


async def ledger(context: Context, run_id: UUID, *, whole: bool) -> Part:
    """The hash chain is what it was, entries balance, balances are the sums of their postings.

    whole: the chain from its first entry, not from where the last run proved it.
    """
    part = Part("ledger")
    async with context.database.read() as session:
        mark = await _proved(session, part, whole=whole)
    report = await verify(context.database, mark.position, bytes.fromhex(mark.hash))
    part.compared = report.entries - mark.position
    part.facts = {"entries": report.entries, "head": report.head.hex()}
    for problem in report.problems:
        part.add(_problem(part, problem, run_id))
    if report.ok:
        part.marks[part.name] = (report.seq, report.head.hex())
    return part


async def _proved(session: AsyncSession, part: Part, *, whole: bool) -> Mark:
    """While a Break of the ledger stands, all of it is walked: it may be behind the mark."""
    beginning = Mark(0, GENESIS.hex(), None)
    if whole or await marks.standing(session, part.prefix):
        return beginning
    return await marks.load(session, part.name) or beginning


def _problem(part: Part, problem: Problem, run_id: UUID) -> Difference:
    facts: LedgerFacts = {
        "problem": problem.kind,
        "entry": problem.entry,
        "account": problem.account,
        "reason": problem.message,
    }
    named = problem.entry or f"{problem.account}:{problem.asset}"
    return Difference(
        key=part.key(problem.kind, named),
        kind=_KINDS.get(problem.kind, BreakKind.AMOUNT),
        place=problem.account or "ledger",
        asset=problem.asset,
        expected=problem.expected,
        actual=problem.actual,
        facts=dict(facts),
        run_id=run_id,
    )
