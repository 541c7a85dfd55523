"""The agent of the attack table: 10,000.00 EUR to 1,000 known parties, weekdays 09:00 to 17:00."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import kakunin
import pytest
from kakunin.testing import FakeClock, MemoryAuthority

PARTIES = ["acme", "globex", *(f"party-{number}" for number in range(998))]

SCOPE = {
    "actions": ["payments:send", "read:*"],
    "limit": [{"for": ["payments:send"], "currency": "EUR", "per_action": "10000.00"}],
    "counterparties": [{"for": ["payments:send"], "allow": PARTIES}],
    "hours": {"zone": "UTC", "slots": ["Mon-Fri 09:00-17:00"]},
}

#: A Monday in office hours.
MONDAY = datetime(2026, 11, 23, 10, 0, tzinfo=timezone.utc)


@pytest.fixture
def clock():
    return FakeClock(MONDAY)


@pytest.fixture
def authority(clock):
    return MemoryAuthority(clock=clock)


@pytest.fixture
def agent(authority):
    return authority.issue(SCOPE)


@pytest.fixture
def acting(agent):
    """The agent of the table, set for the test."""
    with kakunin.agent_context(agent):
        yield agent


class Body:
    """A body that counts how often it ran."""

    def __init__(self):
        self.ran = 0

    def __call__(self, *args, **kwargs):
        self.ran += 1
        return "ran"


@pytest.fixture
def body():
    return Body()


@pytest.fixture(scope="session")
def cli():
    path = os.environ.get("KAKUNIN_CLI")
    if not path:
        pytest.skip("KAKUNIN_CLI is not set")

    def run(*arguments, check=True, cwd=None):
        command = [path, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, stdin=subprocess.DEVNULL)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return done

    return run


class Home:
    """An authority on disk, used through the command line."""

    def __init__(self, cli, path: Path):
        self.cli, self.path = cli, path
        self.number = 0
        cli("init", "--home", path / "home")

    def create(self, scope=None):
        """A new agent: its name and its directory."""
        self.number += 1
        name, file = f"agent-{self.number}", self.path / f"scope-{self.number}.json"
        file.write_text(json.dumps(scope or {"actions": ["payments:send"]}))
        out = self.path / name
        self("agent", "create", name, "--scope", file, "--out", out)
        return name, out

    def __call__(self, *arguments, check=True):
        return self.cli(*arguments, "--home", self.path / "home", check=check)


@pytest.fixture(scope="session")
def home(cli, tmp_path_factory):
    return Home(cli, tmp_path_factory.mktemp("authority"))


class Journal:
    """Reads the receipts of an agent's directory, by the frames of wire.md 4.3."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, *phases: str) -> list[dict]:
        payloads = []
        for segment in sorted(self._directory.glob("state/journal/*/*.seg")):
            data, at = segment.read_bytes(), 0
            while at < len(data):
                (length,) = struct.unpack_from("<I", data, at)
                body, at = data[at + 8 : at + 8 + length], at + 8 + length
                if body[0] == 1:
                    payload = json.loads(decoded(body[1:].split(b".")[1]))
                    payloads.append({**payload, "hash": _hash(body[1:])})
        return [payload for payload in payloads if not phases or payload["ph"] in phases]

    def decisions(self) -> list[dict]:
        return self("decision")


def decoded(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def _hash(signing_input: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(signing_input).digest()).decode().rstrip("=")


@pytest.fixture
def python(tmp_path):
    """Runs a script in a process of its own; what it prints comes back."""

    def run(source, *arguments, check=True, **environment):
        script = tmp_path / "script.py"
        script.write_text(source)
        flags = ["-W", "error"] if "error" in sys.warnoptions else []
        command = [sys.executable, *flags, str(script), *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120
        )
        if check and done.returncode:
            raise AssertionError(done.stdout + done.stderr)
        return done

    return run


@pytest.fixture(scope="module")
def service(cli, tmp_path_factory):
    """An authority that is served as long as the module's tests."""
    from served import Service

    service = Service(cli, tmp_path_factory.mktemp("service"))
    yield service
    service.kill()


# The fixtures of gateways.
from asking import clock_of_now, kept, shop  # noqa: E402, F401
