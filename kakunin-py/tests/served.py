"""A `kakunin serve` of the tests' own, that can be killed and started again."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from conftest import Journal
from kakunin import Agent, ScopeDenied, verify_agent_scope

PAYMENTS = {
    "actions": ["payments:send"],
    "limit": [{"for": ["payments:send"], "currency": "EUR", "per_action": "100.00"}],
    "counterparties": [{"for": ["payments:send"], "allow": ["acme"]}],
}


class Service:
    """An authority that is served."""

    def __init__(self, cli, path: Path, *options: str) -> None:
        self.cli, self.path, self._options = cli, path, options
        self._listen, self._number = "127.0.0.1:0", 0
        self.url = self.key = ""
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Starts it where it was before; the first start makes the authority."""
        ready = self.path / "ready.json"
        ready.unlink(missing_ok=True)
        command = [os.environ["KAKUNIN_CLI"], "serve", "--home", self.path / "home"]
        command += ["--listen", self._listen, "--ready-file", ready, *self._options]
        with (self.path / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
            )
        deadline = time.monotonic() + 120
        # The file appears whole, by a rename.
        while not ready.exists():
            assert self._process.poll() is None, (self.path / "log").read_text()
            assert time.monotonic() < deadline, "the service is not ready"
            time.sleep(0.01)
        said = json.loads(ready.read_text())
        self.url, self.key = said["url"], said.get("owner_key", self.key)
        self._listen = self.url.removeprefix("http://")

    def kill(self) -> None:
        """Ends it as the loss of power does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def post(self, route: str, body: object = None) -> dict:
        """An order as the owner gives it by HTTP: the answer's data."""
        request = urllib.request.Request(
            f"{self.url}/v1{route}",
            method="POST",
            data=json.dumps(body or {}).encode(),
            headers={"authorization": f"Bearer {self.key}", "content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{route}: {error.read().decode()}") from None

    def get(self, route: str):
        """What the owner reads: the answer's data."""
        request = urllib.request.Request(
            f"{self.url}/v1{route}", headers={"authorization": f"Bearer {self.key}"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)["data"]

    def create(self, scope: object = None) -> str:
        """A new agent's name."""
        self._number += 1
        name = f"agent-{self._number}"
        self.post("/agents", {"name": name, "scope": scope or PAYMENTS})
        return name

    def token(self, name: str) -> str:
        """What enrols an agent, once."""
        return self.post(f"/agents/{name}/tokens")["token"]

    def connect(self, name: str, **options) -> Agent:
        """The agent, connected: enrolled if its directory is not there yet."""
        directory = self.directory(name)
        if not (directory / "agent.pem").exists() and "token" not in options:
            options["token"] = self.token(name)
        return Agent.connect(self.url, name, **{"directory": directory, **options})

    def directory(self, name: str) -> Path:
        return self.path / "agents" / name

    def journal(self, name: str) -> Journal:
        return Journal(self.directory(name))

    def order(self, verb: str, name: str) -> dict:
        """An order from another terminal: what `kakunin VERB NAME --url` answers."""
        command = [os.environ["KAKUNIN_CLI"], verb, name, "--reason", "a test", "--url", self.url, "--json"]
        environment = {**os.environ, "KAKUNIN_TOKEN": self.key}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


def payment(agent: Agent, ran: list[object] | None = None):
    """A guarded payment: calling it says `allow`, or why not."""

    @verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="to", agent=agent)
    def pay(to: str, total: str) -> None:
        if ran is not None:
            ran.append(total)

    def asked(to: str = "acme", total: str = "1.00") -> str:
        try:
            pay(to, total)
        except ScopeDenied as denied:
            return denied.code
        return "allow"

    return asked


def eventually(asked, expected: object, seconds: float = 60.0) -> float:
    """Asks until the answer is the expected one: for how many seconds."""
    begun = time.monotonic()
    while (found := asked()) != expected:
        assert time.monotonic() - begun < seconds, f"{found!r} and not {expected!r} after {seconds} s"
        time.sleep(0.005)
    return time.monotonic() - begun


def threads() -> int:
    """Threads of this process, also those that Python does not know."""
    return len(list(Path("/proc/self/task").iterdir()))
