"""`make soak`: the tests of `make test` with the full numbers, resumable, ending in one table.

Every run is a process of its own with a seed of its own; its output goes to `.soak/`. What passed
at this commit is not run again, unless `--again` says so or the tree has changes. `--jobs` runs
some side by side: those that wait more than they work (venue-faults) are many times faster so.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".soak"
STATE = FOLDER / "state.json"
STORED = threading.Lock()  # of the state, the table and the console
NUMBERS = "soak: "  # a line of a test's output that begins so says how much it did


@dataclass(frozen=True)
class Item:
    """`seeds` runs of `paths` (what pytest is told: an `--ignore` may stand among them); `what`
    names the line of the issue; `factor` is BEZANT_SOAK."""

    name: str
    what: str
    paths: Sequence[str]
    seeds: int = 1
    factor: int = 1


ITEMS = (
    Item("kill", "SIGKILL of worker, API, database during 200 payments",
         ["tests/e2e/test_kill.py"], seeds=5),
    Item("standby", "standby, stopped worker, restart with webhooks queued",
         ["tests/e2e/test_standby.py"], seeds=3),
    Item("shop", "the main job over HTTP, checkout included", ["tests/e2e/test_shop.py"], seeds=3),
    Item("machine", "state machine over everything, 200 examples a run",
         ["tests/integration/payments/test_machine.py"], seeds=2),
    Item("reorgs", "reorgs of depth 1 to 10, before and after settlement",
         ["tests/integration/payments/test_reorgs.py"], seeds=2),
    Item("blocks", "1,000 blocks with 50 payments; faults of getLogs and endpoints",
         ["tests/integration/payments/test_payments.py",
          "tests/integration/payments/test_faults.py", "tests/integration/chain"], seeds=2),
    Item("assess", "the invoice rule against a naive one, 25,000 examples a run",
         ["tests/unit/payments/test_assess.py"], seeds=3),
    Item("sending", "1,000 transactions under kills, lost answers, errors, forks and dear blocks",
         ["tests/integration/wallets/test_kill.py"], seeds=3),
    Item("simulators", "simulated venues: matching, 1,000 random accounts a run",
         ["tests/unit/sandbox"], seeds=3),
    Item("payouts", "1,000 payouts from 4 workers under kills, lost answers, fees and forks",
         ["tests/e2e/test_payout_chaos.py"], seeds=3),
    Item("router", "payments through the router: forks, replays, rotated keys, relays",
         ["tests/integration/router"], seeds=5),
    Item("journal", "the journal under concurrent posting", ["tests/integration/ledger"], seeds=3),
    Item("reconciliation", "no Break over 100 histories a run of all that a house does; mistakes",
         ["tests/integration/reconciliation"], seeds=10),
    Item("venue-faults", "79 faults at each venue under conversions and withdrawals, 20 seeds",
         ["tests/integration/treasury/test_fault_matrix.py"], seeds=10),
    Item("quotes", "best execution against a search through everything, 2,000 books of each kind",
         ["tests/unit/treasury/test_routing.py"]),
    Item("conversion-kill", "SIGKILL of the worker between every two steps of a conversion",
         ["tests/e2e/test_conversion_kill.py"], seeds=3),
    Item("move-kill", "SIGKILL of the worker between every two steps of a move",
         ["tests/e2e/test_move_kill.py"], seeds=3),
    Item("fiat-moves", "60 random histories a run of fiat from a bank to a venue",
         ["tests/integration/treasury/test_moves_from_banks.py"], seeds=5),
    Item("rule-kill", "SIGKILL of the worker at every write of a rule",
         ["tests/e2e/test_rule_kill.py"], seeds=3),
    Item("contracts", "forge fuzz and invariants, profile soak", []),
    Item("schemathesis", "no 5xx, no undocumented answer, 50 examples an operation",
         ["tests/integration/api/test_schemathesis.py"], seeds=2),
    Item("signer", "a million fuzzed orders against an oracle, 50,000 a run",
         ["tests/integration/wallets/signer/test_fuzz.py"], seeds=20),
    Item("signer-process", "the signer's process: SIGKILL, takeover, replays, keys elsewhere",
         ["tests/integration/wallets/signer",
          "--ignore=tests/integration/wallets/signer/test_fuzz.py"], seeds=2),
    Item("webhooks", "endpoints, retries, feed, stream",
         ["tests/integration/webhooks"], seeds=3),
)  # fmt: skip


@dataclass
class Outcome:
    """Of all runs of an item. `numbers` sums what they did, by its unit."""

    passed: int = 0
    failed: int = 0
    kept: int = 0
    seconds: int = 0

    def __post_init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def add(self, run: dict[str, Any]) -> None:
        if run["passed"]:
            self.passed += 1
        else:
            self.failed += 1
        self.seconds += run["seconds"]
        for unit, count in run["numbers"].items():
            self.numbers[unit] = self.numbers.get(unit, 0) + count


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("items", nargs="*", metavar="ITEM", help="all, unless some are named")
    parser.add_argument("--again", action="store_true", help="also what passed at this commit")
    parser.add_argument("--seeds", type=int, help="runs of each item, instead of its own number")
    parser.add_argument("--factor", type=int, default=1, help="times the full numbers")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--list", action="store_true", help="name the items")
    asked = parser.parse_args()
    console = Console(highlight=False)
    unknown = set(asked.items) - {item.name for item in ITEMS}
    if unknown or asked.list:
        for item in ITEMS:
            console.print(f"{item.name:13} {item.what}")
        return 2 if unknown else 0
    chosen = [item for item in ITEMS if not asked.items or item.name in asked.items]
    outcomes = {item.name: Outcome() for item in chosen}
    runs = [(item, seed) for item in chosen for seed in range(1, (asked.seeds or item.seeds) + 1)]
    with ThreadPoolExecutor(asked.jobs) as pool:
        try:
            under_way = [
                pool.submit(
                    take, console, item, seed, outcomes[item.name],
                    factor=asked.factor, again=asked.again,
                )
                for item, seed in runs
            ]  # fmt: skip
            for one in under_way:
                one.result()
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            console.print("stopped: the next run goes on from here")
    show(console, chosen, outcomes)
    complete = sum(outcome.passed for outcome in outcomes.values()) == len(runs)
    return 0 if complete else 1


def take(
    console: Console, item: Item, seed: int, outcome: Outcome, *, factor: int, again: bool
) -> None:
    """One run, unless it passed before."""
    at, name = commit(), f"{item.name} {seed} x{factor * item.factor}"
    with STORED:
        known = load().get(name)
    if known and known["passed"] and known["commit"] == at and not again:
        with STORED:
            outcome.kept += 1
            outcome.add(known)
        return
    done = run(item, seed, factor)
    with STORED:
        console.print(
            f"[dim]{item.name}, seed {seed}[/dim]",
            "passed" if done["passed"] else f"[red]failed[/red]: {done['log']}",
            f"[dim]{done['seconds']} s[/dim]",
        )
        outcome.add(done)
        save(name, done | {"commit": at})


def run(item: Item, seed: int, factor: int) -> dict[str, Any]:
    """A process of its own; its whole output in a file."""
    log = FOLDER / f"{item.name}-{seed}.log"
    environment = {
        **os.environ,
        "BEZANT_SOAK": str(factor * item.factor),
        "BEZANT_SEED": str(seed),
        "PYTHONHASHSEED": str(seed),
        "FOUNDRY_PROFILE": "soak",
        "NO_COLOR": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-s", "--hypothesis-seed", str(seed)]
    where = ROOT
    if item.paths:
        command += item.paths
    else:
        command, where = [forge(), "test", "--fuzz-seed", str(seed)], ROOT / "contracts"
    began = time.monotonic()
    with log.open("wb") as stream:
        code = subprocess.run(
            command, cwd=where, env=environment, stdout=stream, stderr=stream, check=False
        ).returncode
    return {
        "passed": code == 0,
        "seconds": round(time.monotonic() - began),
        "numbers": count(log.read_text(errors="replace")),
        "log": str(log.relative_to(ROOT)),
    }


def count(output: str) -> dict[str, int]:
    """`soak: 400 payments, 24 kills` -> both; and how many tests passed."""
    found: dict[str, int] = {}
    for line in re.findall(f"{NUMBERS}(.*)", output):
        for number, unit in re.findall(r"(\d+) ([^,]+)", line):
            found[unit] = found.get(unit, 0) + int(number)
    for number in re.findall(r"(\d+) (?:tests )?passed", output)[-1:]:
        found["tests"] = int(number)
    return found


def forge() -> str:
    """Of PATH, else npm's."""
    local = ROOT / "contracts/node_modules/@foundry-rs/forge-linux-amd64/bin/forge"
    return shutil.which("forge") or str(local)


def commit() -> str:
    """The commit, or a name that nothing equals when the tree differs from it."""
    git = ["git", "-C", str(ROOT)]
    changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=False)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if changes.returncode or changes.stdout:
        return f"{head.stdout.strip()[:12]} changed {time.time_ns()}"
    return head.stdout.strip()


def load() -> dict[str, Any]:
    known: dict[str, Any] = json.loads(STATE.read_text()) if STATE.exists() else {}
    return known


def save(name: str, done: dict[str, Any]) -> None:
    """By rename: a run that is stopped leaves the state as it was."""
    partial = STATE.with_suffix(".new")
    partial.write_text(json.dumps(load() | {name: done}, indent=1))
    partial.replace(STATE)


def show(console: Console, chosen: Sequence[Item], outcomes: dict[str, Outcome]) -> None:
    table = Table(title="make soak")
    for column in ("item", "what", "runs", "numbers", "passed", "failed", "seconds"):
        right = column in ("runs", "passed", "failed", "seconds")
        table.add_column(column, justify="right" if right else "left")
    for item in chosen:
        done = outcomes.get(item.name, Outcome())
        runs = str(done.passed + done.failed) + (f" ({done.kept} before)" if done.kept else "")
        numbers = ", ".join(f"{number:,} {unit}" for unit, number in done.numbers.items())
        failed = f"[red]{done.failed}[/red]" if done.failed else "0"
        table.add_row(
            item.name, item.what, runs, numbers, str(done.passed), failed, f"{done.seconds:,}"
        )
    console.print(table)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    sys.exit(main())
