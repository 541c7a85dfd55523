"""What tests of gateways share: a shop with a gateway, agents that ask, requests that are written by hand."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from kakunin import _native
from kakunin.gateway import Gateway, Refused, caller
from kakunin.testing import FakeClock, open_agent

HOST = "shop.example"

#: What the agents that ask may do.
PAYMENTS = {
    "actions": ["payments:send", "reports:read"],
    "limit": [{"for": ["payments:send"], "currency": "EUR", "per_action": "100.00"}],
    "counterparties": [{"for": ["payments:send"], "allow": ["acme", "globex"]}],
}

#: The gateway's own agent: it judges, and acts in one thing itself.
OWN = {"actions": ["ledger:write"]}

PAYMENT = {"amount": "12.50", "iban": "acme"}


@pytest.fixture
def shop(authority, clock):
    """A gateway whose agents are in memory, an agent that asks, and what handlers did."""
    own = authority.issue(OWN, name="shop")
    asking = authority.issue(PAYMENTS, name="asking")
    gateway = Gateway(own, names=[HOST])
    # A gateway that has just begun takes no proof that may have been used before.
    clock.advance(11)
    return SimpleNamespace(gateway=gateway, own=own, agent=asking, authority=authority, clock=clock, ran=[])


@pytest.fixture
def kept(home, clock_of_now):
    """The same with directories, so that there are receipts to read."""
    from conftest import Journal

    name, directory = home.create(PAYMENTS)
    _, ours = home.create(OWN)
    own = open_agent(str(ours), clock=clock_of_now)
    gateway = Gateway(own, names=[HOST])
    clock_of_now.advance(11)
    agent = open_agent(str(directory), clock=clock_of_now)
    journal = Journal(ours)

    def outcomes(count: int = 1) -> list[str]:
        """How the actions ended, once so many have."""
        deadline = time.monotonic() + 30
        while len(found := [receipt["res"] for receipt in journal("outcome")]) < count:
            assert time.monotonic() < deadline, journal()
            time.sleep(0.01)
        return found

    yield SimpleNamespace(
        gateway=gateway, own=own, agent=agent, ran=[], journal=journal, outcomes=outcomes, name=name,
        directory=directory, home=home, asked_by=Journal(directory), ours=ours,
    )  # fmt: skip
    own.close()
    agent.close()


@pytest.fixture
def clock_of_now():
    return FakeClock()


def proof(agent, method, path, body=b"", host=HOST, link=None):
    """The fields of a proof."""
    before, mark, query = path.partition("?")
    return _native.prove(agent, method, host, before, query if mark else None, body, link)


def raw(agent, method, path, body=b"", *, host=HOST, lines=(), framed=None):
    """A request on the wire; `lines` are more fields, `framed` the body framed in another way."""
    fields = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
    fields += [
        f"{name}: {value}" for name, value in (proof(agent, method, path, body, host) if agent else ())
    ]
    fields += lines
    if framed is None and not any(line.lower().startswith("content-length") for line in lines):
        fields.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*fields, "", ""]).encode() + (body if framed is None else framed)


def spoken(port, sent, *, answers=1, wait=20.0):
    """What a server answers to octets in time: status, fields and body of each answer."""
    found = []
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(sent)
        stream = connection.makefile("rb")
        for _ in range(answers):
            try:
                line = stream.readline()
            except TimeoutError:
                break
            if not line:
                break
            fields = {}
            while (field := stream.readline().strip()) != b"":
                name, _, value = field.decode("latin-1").partition(":")
                fields[name.lower()] = value.strip()
            length = fields.get("content-length")
            body = stream.read(int(length)) if length else stream.read() if "close" in str(fields) else b""
            found.append((int(line.split()[1]), fields, body))
    return found


def code(answer):
    """The code of a refusal, as the problem in its body names it."""
    status, fields, body = answer
    assert fields["content-type"] == "application/problem+json", answer
    problem = json.loads(body)
    assert problem["status"] == status
    return problem["code"]


class Served:
    """A server in a process of its own, that runs `app.py` of a folder."""

    def __init__(self, folder: Path, source: str, command: list[str], **environment: str) -> None:
        (folder / "app.py").write_text(source)
        self.log = folder / "log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [part.replace("PORT", str(self.port)) for part in command]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, self.log.read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


#: The head of an `app.py`: a gateway that is old enough to take proofs, and a file that says what ran.
SERVICE = """
import os, threading, time
from datetime import datetime, timedelta, timezone
from kakunin.gateway import Gateway, caller
from kakunin.testing import FakeClock, open_agent

# It began 12 seconds ago, and goes on with the time.
clock = FakeClock(datetime.now(timezone.utc) - timedelta(seconds=12))
gateway = Gateway(open_agent(os.environ["OURS"], clock=clock), names=["shop.example"], max_body=2000)

def tick():
    while True:
        behind = datetime.now(timezone.utc) - clock.now
        clock.advance(behind)
        time.sleep(0.05)

threading.Thread(target=tick, daemon=True).start()
while clock.now < datetime.now(timezone.utc) - timedelta(seconds=5):
    time.sleep(0.01)

def ran(what):
    with open("ran", "a") as file:
        file.write(f"{what} {caller().agent_id}\\n")
"""


__all__ = [
    "HOST", "OWN", "PAYMENT", "PAYMENTS", "SERVICE", "Refused", "Served", "caller", "clock_of_now", "code",
    "kept", "proof", "raw", "shop", "spoken",
]  # fmt: skip
