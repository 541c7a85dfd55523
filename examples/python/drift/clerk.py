"""One agent, connected: its days, and what its own receipts say of them."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import random
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from commands import PATIENCE, kakunin, until
from kakunin import Agent, agent_context
from owner import Service
from work import ask, list_orders, steered, usual


class Clerk:
    """One agent, connected, and what it does."""

    def __init__(self, service: Service, name: str) -> None:
        self.service, self.name = service, name
        self.directory = service.work / "agents" / name
        service.order("agent", "create", name, "--scope", service.work / "scope.toml")
        self.token: str | None = service.order("agent", "token", name)["token"]
        self._work = usual(random.Random(name))
        self.agent = self._connect()

    def _connect(self) -> Agent:
        agent = Agent.connect(self.service.url, self.name, directory=self.directory, token=self.token)
        self.token = None
        return agent

    def reconnect(self) -> None:
        """The next day: a process that ends and one that begins, with another stream of receipts."""
        self.agent.close()
        self.agent = self._connect()

    def works(self, calls: int) -> set[str]:
        with agent_context(self.agent):
            return {ask(call) for call in itertools.islice(self._work, calls)}

    def known(self, what: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        return until(f"{self.name}: {what}", lambda: found(self.service.risk(self.name), is_so))

    def learnt(self) -> None:
        """Half of its work is taken for usual, and the other half is held against it."""
        for calls in (500, 1000):
            answers = self.works(500)
            assert answers == {"allow"}, answers
            self.known("looked at", lambda known, calls=calls: known["behaviour"]["allowed_calls"] >= calls)
            self.known("a baseline", lambda known: known["baseline"] is not None)

    def drifts(self) -> None:
        """Does what it never did until it is suspended, and goes on trying until it is revoked."""
        doing = steered()
        with agent_context(self.agent):
            # Fewer calls than revoke, so that it is suspended first however late its receipts are looked at.
            for _ in range(20):
                if self._tries(itertools.islice(doing, 60), "certificate.held") or self._waits():
                    break
            else:
                sys.exit(f"{self.name} was not suspended: {self.service.risk(self.name)}")
            # What it tries comes home by its own proof, also while it is held.
            if not self._tries(doing, "certificate.revoked"):
                sys.exit(f"{self.name} was not revoked: {self.service.risk(self.name)}")

    def _tries(self, doing: Iterable[Callable[[], object]], code: str) -> bool:
        begun = time.monotonic()
        for call in doing:
            if ask(call) == code:
                return True
            if time.monotonic() - begun > PATIENCE:
                break
            time.sleep(0.005)
        return False

    def _waits(self) -> bool:
        """Goes on with what it always did for a while, and says whether it was suspended meanwhile."""
        return any(ask(list_orders) == "certificate.held" or time.sleep(0.01) for _ in range(300))

    def _lines(self) -> list[str]:
        """Its receipts in the form of docs/wire.md 4.13."""
        file = self.service.work / f"{self.name}-{time.monotonic_ns()}.jsonl"
        kakunin("risk", "receipts", self.directory, "--out", file)
        lines = [line for line in file.read_text().splitlines() if '"receipt":' in line]
        file.unlink()
        return lines

    def decisions(self) -> list[dict[str, Any]]:
        """Its decisions, as its receipts say, each with its name."""
        receipts = (named(json.loads(line)["receipt"]) for line in self._lines())
        return [receipt for receipt in receipts if receipt["ph"] == "decision"]

    def denied_after(self, level: str, code: str) -> float:
        """Seconds from the receipt that brought it to this level to the first one that denies for it."""
        change = next(change for change in self.service.changes(self.name) if change["level"] == level)
        receipts = self.decisions()
        trigger = next(its["ts"] for its in receipts if its["name"] == change["said"]["change"]["receipt"])
        denied = next(its["ts"] for its in receipts if its.get("why") == code)
        return (denied - trigger) / 1e6


def named(token: str) -> dict[str, Any]:
    """What a receipt says, with its name: the SHA-256 of what was signed."""
    header, payload, _ = token.split(".")
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return {**said, "name": hashlib.sha256(f"{header}.{payload}".encode()).hexdigest()}


def found(known: dict[str, Any], is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    return known if is_so(known) else None
