"""What the guard adds to a call from Python: rows of the table of `make bench`.

Usage: guard.py KAKUNIN BENCHES, the binaries of the command line and of the Rust benches. Runs against the
built wheel, whose null journal only benches can ask for. All subjects take turns in every round; medians are
compared. Time is the thread's own processor time, so that a busy machine does not speak.
"""

from __future__ import annotations

import functools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from itertools import repeat
from pathlib import Path
from typing import Any

from kakunin import Agent, _native, verify_agent_scope

SCOPE = """
actions = ["payments:send"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme", "globex"]
"""
ROUNDS = 201
CALLS = 2_000
#: DESIGN: a burst that the signer need not finish before it ends.
BURST = 400

Pay = Callable[[str, Any], None]


def pay(supplier: str, total: Any) -> None:
    pass


def wrapped(function: Pay) -> Pay:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        return function(*args, **kwargs)

    return wrapper


def guarded(agent: Agent) -> Pay:
    scope = verify_agent_scope(
        "payments:send", amount="total", currency="EUR", counterparty="supplier", agent=agent
    )
    return scope(pay)


def measure(function: Pay, total: object, calls: int) -> float:
    before = time.thread_time_ns()
    for _ in repeat(None, calls):
        function("acme", total)
    return (time.thread_time_ns() - before) / calls


def interleave(
    subjects: dict[str, tuple[Pay, object]], calls: int, pause: float = 0
) -> dict[str, list[float]]:
    """Nanoseconds of a call, by subject and round."""
    nanos: dict[str, list[float]] = {name: [] for name in subjects}
    names = list(subjects)
    for round_ in range(-1, ROUNDS):
        for turn in range(len(names)):
            name = names[(round_ + turn) % len(names)]
            measured = measure(*subjects[name], calls)
            if round_ >= 0:
                nanos[name].append(measured)
            time.sleep(pause)
    return nanos


def make_agent(kakunin: str, folder: Path) -> Path:
    (folder / "scope.toml").write_text(SCOPE)
    for line in ("init", "agent create billing --scope scope.toml --out billing"):
        subprocess.run([kakunin, *line.split()], cwd=folder, check=True, capture_output=True)
    return folder / "billing"


def without_receipts(directory: Path, lists: Path) -> Agent:
    parts = [
        directory / "agent.pem",
        directory / "key.pem",
        directory / "chain.pem",
        directory / "ca.pem",
        lists,
    ]
    return Agent(_native.open_pem_without_receipts(*(part.read_text() for part in parts)))


def bare_write(benches: str) -> float:
    """Nanoseconds of one `write()` with its serialisation, as the Rust benches measure it."""
    return float(subprocess.run([benches, "bare-write"], check=True, capture_output=True, text=True).stdout)


def row(what: str, nanos: float, floor: str, ratio: float, hold: float | None) -> None:
    promise = "" if hold is None else f"≤ {hold}" + ("" if ratio <= hold else ", does not hold")
    print(f"| {what} | {text(nanos)} | {floor} | {ratio:.2f} | {promise} |", flush=True)


def text(nanos: float) -> str:
    return f"{nanos:.0f} ns" if nanos < 1_000 else f"{nanos / 1_000:.2f} µs"


def median_ratio(ours: list[float], floor: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, floor, strict=True))


def call_rows(agent: Agent) -> float:
    guard = guarded(agent)
    values: list[tuple[str, object, float, float]] = [
        ("a decimal string", "125.00", 6, 1.5),
        ("a `Decimal`", Decimal("125.00"), 7, 1.9),
    ]
    nanos = 0.0
    for what, total, plain_hold, wrapper_hold in values:
        subjects = {"plain": (pay, total), "wrapper": (wrapped(pay), total), "guard": (guard, total)}
        rounds = interleave(subjects, CALLS)
        median = {name: statistics.median(of) for name, of in rounds.items()}
        floor = f"plain call: {text(median['plain'])}"
        ratio = median_ratio(rounds["guard"], rounds["plain"])
        row(f"Python: guarded call, {what}, no receipt", median["guard"], floor, ratio, plain_hold)
        floor = f"empty `functools.wraps` wrapper: {text(median['wrapper'])}"
        row(
            "… beside a wrapper",
            median["guard"],
            floor,
            median_ratio(rounds["guard"], rounds["wrapper"]),
            wrapper_hold,
        )
        nanos = nanos or median["guard"]
    return nanos


def chain_row(agent: Agent, before: float) -> None:
    # From the first chain of a process on, every call reads one context variable.
    _native.chain_begun()
    rounds = interleave({"guard": (guarded(agent), "125.00")}, CALLS)
    after = statistics.median(rounds["guard"])
    floor = f"before: {text(before)}"
    row("Python: … where a chain was begun, outside of it", after, floor, after / before, 1.1)


def journal_rows(agent: Agent, benches: str, guard: float) -> None:
    guard_and_journal = guarded(agent)
    # The pause lets the signer finish: what is measured is a burst, not the signer.
    before = bare_write(benches)
    rounds = interleave({"journal": (guard_and_journal, "125.00")}, BURST, pause=0.02)
    bare = (before + bare_write(benches)) / 2
    journaled = statistics.median(rounds["journal"])
    floor = f"guard + 2 x bare write() + serialise: {text(guard + 2 * bare)}"
    ratio = journaled / (guard + 2 * bare)
    row("Python: … two receipts journaled, in bursts of 400", journaled, floor, ratio, 2.5)

    calls, started = 0, time.perf_counter()
    while time.perf_counter() - started < 2:
        guard_and_journal("acme", "125.00")
        calls += 1
    agent.close()
    rate = calls / (time.perf_counter() - started)
    print(f"| Python: … sustained, wall clock, two signatures each | {rate:,.0f} calls/s | | | |", flush=True)


def main(kakunin: str, benches: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = make_agent(kakunin, Path(name))
        quiet = without_receipts(directory, Path(name) / ".kakunin" / "public" / "lists.pem")
        guard = call_rows(quiet)
        chain_row(quiet, guard)
        journal_rows(Agent.from_dir(directory), benches, guard)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
