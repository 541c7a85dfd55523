"""The whole story on one screen: `make demo`.

An authority is made here, without a network. An agent gets a certificate. A guarded function is allowed and
denied, the agent is suspended, resumed and revoked from the command line while it works, and its journal is
verified after the authority is gone. The exit code is 0 only if every line held.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

from kakunin import Agent, ScopeDenied, agent_context, verify_agent_scope

KAKUNIN = os.environ.get("KAKUNIN_CLI", "kakunin")

SCOPE = """\
actions = ["payments:send", "read:*"]

[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"

[[counterparties]]
for = ["payments:send"]
allow = ["acme", "globex"]
"""

#: A command that has answered is in force everywhere on this host within this time.
PROMISED = 1.0


@verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="supplier")
def pay(supplier: str, total: Decimal | str) -> str:
    RAN.append((supplier, total))
    return f"paid {total} EUR to {supplier}"


@verify_agent_scope("payments:refund", amount="total", currency="EUR", counterparty="customer")
def refund(customer: str, total: Decimal | str) -> str:
    RAN.append((customer, total))
    return "refunded"


#: What really ran, whatever the lines below say.
RAN: list[tuple[str, object]] = []


class Screen:
    """Prints one line a fact and remembers whether all of them held."""

    def __init__(self) -> None:
        self.failed = 0

    def title(self, text: str) -> None:
        print(f"\n{text}")

    def line(self, held: bool, what: str, result: str) -> None:
        self.failed += not held
        print(f"  {'ok  ' if held else 'FAIL'} {what:<47} {result}", flush=True)

    def allowed(self, what: str, call: Callable[[], str]) -> None:
        before = len(RAN)
        try:
            result = call()
        except ScopeDenied as denied:
            self.line(False, what, f"denied {denied.code}")
            return
        self.line(len(RAN) == before + 1, what, result)

    def denied(self, code: str, what: str, call: Callable[[], str]) -> None:
        before = len(RAN)
        try:
            result = call()
        except ScopeDenied as denied:
            held = denied.code == code and len(RAN) == before
            limit = f" (limit {denied.limit})" if denied.limit else ""
            self.line(held, what, f"denied {denied.code}{limit}")
        else:
            self.line(False, what, result)


class Loop:
    """Pays 1.00 EUR without end in a thread of its own, and says since when it is denied or allowed."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._stop = threading.Event()
        self._changes: list[tuple[float, str]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Loop:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        answer = ""
        with agent_context(self._agent):
            while not self._stop.wait(0.001):
                try:
                    pay("acme", "1.00")
                    now = "allowed"
                except ScopeDenied as denied:
                    now = denied.code
                if now != answer:
                    answer = now
                    self._changes.append((time.monotonic(), now))

    def seen(self, answer: str, since: float) -> float | None:
        """How long after `since` the loop first got this answer; `None` if it does not within 5 s."""
        while time.monotonic() < since + 5:
            if self._changes and self._changes[-1][1] == answer:
                return max(0.0, self._changes[-1][0] - since)
            time.sleep(0.001)
        return None


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [KAKUNIN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def kakunin(*arguments: object) -> str:
    done = run(*arguments)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
    return done.stdout


def another_day() -> str:
    """A slot that excludes the present, on any day and at any hour."""
    return (datetime.now(timezone.utc) + timedelta(days=3)).strftime("%a 00:00-24:00")


def main(work: Path) -> int:
    screen = Screen()
    home, agents = work / "authority", work / "agents"

    screen.title("An authority and two agents, made here, without a network")
    kakunin("init", "--home", home)
    screen.line(
        (home / "public" / "ca.pem").is_file(), "kakunin init", "a root, an issuing authority, their lists"
    )
    (work / "scope.toml").write_text(SCOPE)
    (work / "hours.toml").write_text(f'{SCOPE}\n[hours]\nzone = "UTC"\nslots = ["{another_day()}"]\n')
    for name, scope in [("billing", "scope.toml"), ("weekly", "hours.toml")]:
        answer = kakunin(
            "agent", "create", name, "--scope", work / scope, "--out", agents / name, "--home", home, "--json"
        )
        screen.line(
            True,
            f"kakunin agent create {name} --scope {scope}",
            f"{json.loads(answer)['bytes']} bytes, 7 days",
        )
    billing, weekly = Agent.from_dir(agents / "billing"), Agent.from_dir(agents / "weekly")

    screen.title('A guarded function: "payments:send" up to 10000.00 EUR, to acme and globex')
    with agent_context(billing):
        screen.allowed('pay("acme", Decimal("125.00"))', lambda: pay("acme", Decimal("125.00")))
        screen.denied(
            "scope.action", 'refund("acme", "1.00"), not in the scope', lambda: refund("acme", "1.00")
        )
        screen.denied(
            "scope.amount",
            'pay("acme", total=Decimal("12500.00"))',
            lambda: pay("acme", total=Decimal("12500.00")),
        )
        screen.denied(
            "scope.amount", 'pay("acme", Decimal("12500.00"))', lambda: pay("acme", Decimal("12500.00"))
        )
        screen.denied("scope.amount", 'pay("acme", "12500.00")', lambda: pay("acme", "12500.00"))
        screen.denied("scope.counterparty", 'pay("initech", "125.00")', lambda: pay("initech", "125.00"))
    with agent_context(weekly):
        screen.denied("scope.hours", f"the other agent, only {another_day()}", lambda: pay("acme", "125.00"))
    screen.denied("agent.missing", "no agent at all", lambda: pay("acme", "125.00"))

    screen.title("Orders from another process, while the agent pays in a loop")
    orders = [("suspend", "certificate.held"), ("resume", "allowed"), ("revoke", "certificate.revoked")]
    with Loop(billing) as loop:
        loop.seen("allowed", time.monotonic())
        for order, expected in orders:
            kakunin(order, "billing", "--reason", "the demo", "--home", home)
            delay = loop.seen(expected, time.monotonic())
            held = delay is not None and delay <= PROMISED
            result = (
                "no effect"
                if delay is None
                else f"{expected} {delay * 1000:.0f} ms after the command answered"
            )
            screen.line(held, f"kakunin {order} billing", result)

    screen.title("The paper trail, offline, with the authority gone")
    billing.close()
    weekly.close()
    shutil.copy(agents / "billing" / "ca.pem", work / "ca.pem")
    shutil.rmtree(home)
    verified = run("verify", agents / "billing", "--root", work / "ca.pem", "--json")
    report = json.loads(verified.stdout or "{}")
    streams = report.get("streams", [])
    held = verified.returncode == 3 and report.get("verdict") == "AUTHENTIC-NOT-COMPLETE"
    ran = sum(1 for _ in RAN)
    counted = (
        sum(stream["allowed"] for stream in streams) == ran == sum(stream["outcomes"] for stream in streams)
    )
    denials, unsigned = (sum(stream[key] for stream in streams) for key in ("denied", "unsigned"))
    screen.line(
        held, "kakunin verify agents/billing --root ca.pem", report.get("verdict", verified.stderr.strip())
    )
    screen.line(counted, "one receipt before and one after each body", f"{ran} ran, {denials} denied")
    screen.line(unsigned == 0, "every receipt is signed", "nobody else has seen the last one: not COMPLETE")

    print(f"\n{'Everything held.' if not screen.failed else f'{screen.failed} lines did not hold.'}")
    return 1 if screen.failed else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="kakunin-demo-") as directory:
        sys.exit(main(Path(directory)))
