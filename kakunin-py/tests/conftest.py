"""The agent of the attack table: 10,000.00 EUR to 1,000 known parties, weekdays 09:00 to 17:00."""

from __future__ import annotations

import json
import os
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
