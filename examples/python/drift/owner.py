"""The owner: an authority that is served, with a log, a witness and a gate."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from commands import KAKUNIN, each, kakunin, until
from work import SCOPE

AGENTS = ["billing", "orders", "support"]

#: How the service judges. Only what takes days is not as it comes: it learns from 500 calls without waiting
#: for a fortnight, and calls in a minute say nothing where a day of work is done in one. How many false
#: alarms are bearable, what suspends and what revokes are the defaults.
RISK = 'off = ["rate"]\n[baseline]\ndays = 0\n'

GATE_SCOPE = """\
actions = ["gate:promote", "gate:refuse"]

[[counterparties]]
for = ["gate:*"]
allow = ["urn:kakunin:agent:*"]
"""

#: What an authority has of a running agent: no end yet, no clear values, and nobody else saw the last of it.
GATE_POLICY = """\
tolerate = ["tail.not_witnessed", "stream.open", "disclosure.missing"]
baseline = "{baseline}"
risk_policy = "{risk}"

[[approve]]
from = "none"
to = "{scope}"
by = "Ada, change 4711"
until = "2099-01-01T00:00:00Z"

[[allowed]]
action = "payments:send"
amount = "80.00"
currency = "EUR"
counterparty = "acme"

[[denied]]
action = "payments:send"
amount = "950.00"
currency = "EUR"
counterparty = "umbrella"
code = "scope.amount"
"""


class Service:
    """An authority that is served, with a log of its owner and a gate beside it."""

    def __init__(self, work: Path) -> None:
        self.work, self.home = work, work / "home"
        for name, text in [("scope", SCOPE), ("gate-scope", GATE_SCOPE), ("risk", RISK)]:
            (work / f"{name}.toml").write_text(text)
        kakunin("init", "--home", self.home)
        self.root = shutil.copy(self.home / "public" / "ca.pem", work / "ca.pem")
        # A home that is served is not written to from elsewhere, so the log has one of its own.
        self.log = work / "records" / "log"
        kakunin("init", "--home", self.log.parent)
        self.log_key = kakunin("log", "--home", self.log.parent)["log"]
        # The gate's own agent follows no feed: it has a list from before the authority was served with one.
        scope = ("--scope", work / "gate-scope.toml", "--out", work / "agents" / "gate")
        kakunin("agent", "create", "gate", *scope, "--home", self.home)
        shutil.copy(self.home / "public" / "lists.pem", work / "gate-lists.pem")
        ready = work / "ready.json"
        command = [KAKUNIN, "serve", "--home", self.home, "--listen", "127.0.0.1:0", "--ready-file", ready]
        command += ["--risk-policy", work / "risk.toml"]
        with (work / "service.log").open("wb") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": log}
            self._process = subprocess.Popen(list(map(str, command)), **streams)
        until("the service", lambda: ready.exists() or self._process.poll() is not None)
        if not ready.exists():
            sys.exit((work / "service.log").read_text())
        said = json.loads(ready.read_text())
        self.url, self.key = said["url"], said["owner_key"]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()

    def order(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        """A command with `--url`."""
        return kakunin(*arguments, "--url", self.url, code=code, KAKUNIN_TOKEN=self.key)

    def get(self, path: str) -> bytes:
        request = urllib.request.Request(f"{self.url}/v1{path}")
        request.add_header("authorization", f"Bearer {self.key}")
        with urllib.request.urlopen(request, timeout=60) as response:
            octets: bytes = response.read()
        return octets

    def risk(self, name: str) -> dict[str, Any]:
        known: dict[str, Any] = json.loads(self.get(f"/agents/{name}/risk"))["data"]
        return known

    def changes(self, name: str) -> list[dict[str, Any]]:
        """Changes of level, the first one first, each as the authority signed it."""
        events = json.loads(self.get(f"/agents/{name}/risk/events?limit=100"))["data"]
        return [event for event in reversed(events) if event["kind"] == "level"]

    def publish(self) -> None:
        """Logs what the agents did and has it witnessed."""
        journals = [self.work / "agents" / name for name in ["gate", *AGENTS]]
        kakunin("log", "--home", self.log.parent, *each("--journal", journals))
        log = ("--log", self.log, "--log-key", self.log_key)
        witness = kakunin("witness", "--state", self.work / "witness", *log)["witness"]
        (self.work / "witnesses.txt").write_text(f"witness watcher {witness}\nquorum watcher\n")

    def believed(self) -> list[object]:
        """Whom a stranger believes who verifies."""
        words = ["--root", self.root, "--log-key", self.log_key]
        return [*words, "--witness-policy", self.work / "witnesses.txt"]


class Gate:
    """Who decides about releases of one agent, by what its authority has of it."""

    def __init__(self, service: Service, name: str) -> None:
        self.service, self.name, work = service, name, service.work
        self.agent = service.order("agent", "show", name)["id"]
        self.policy, self.baseline = work / "gate.toml", work / "baseline.json"
        self.baseline.write_bytes(service.get(f"/agents/{name}/risk/baseline"))
        terms = {
            "baseline": hashlib.sha256(self.baseline.read_bytes()).hexdigest(),
            "risk": service.risk(name)["behaviour"]["policy"],
        }
        # The digest of a scope is what an approval names, and a first gate says it.
        self.policy.write_text(GATE_POLICY.format(**terms, scope="0" * 64))
        scope = self.judges("c0ffee1", 1)["scope"]
        self.policy.write_text(GATE_POLICY.format(**terms, scope=scope))

    def judges(self, commit: str, code: int, *more: object) -> dict[str, Any]:
        work = self.service.work
        words = ["--agent", self.agent, "--root", self.service.root, "--policy", self.policy]
        words += ["--risk-policy", work / "risk.toml", "--baseline", self.baseline, "--commit", commit]
        return self.service.order("gate", *words, *more, code=code)

    def signs(self, commit: str, code: int) -> dict[str, Any]:
        work = self.service.work
        signed = ("--as", work / "agents" / "gate", "--as-crl", work / "gate-lists.pem")
        return self.judges(commit, code, *signed, "--promoted", work / "promoted.pem")


def refusals(answer: dict[str, Any]) -> dict[str, str]:
    """The checks that did not pass, by the codes they have."""
    return {check["step"]: check["code"] for check in answer["checks"] if check["outcome"] != "pass"}
