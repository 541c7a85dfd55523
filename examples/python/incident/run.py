"""One incident, three agents, two owners: `python run.py [DIR]`, with `kakunin` on the path.

The shop's support agent asks the shop's payments agent over HTTP, which asks the bank's agent over MCP. Each
owner has an authority, a root and a log of its own, and somebody else watches both logs. The incident is
exported into one file. Then everything is deleted but that file, the two roots and the keys of logs and
witness, and the file is verified, and drawn as a page for a browser. With DIR, which must not exist, these
are left there.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
KAKUNIN = os.environ.get("KAKUNIN_CLI", "kakunin")

#: Each agent's owner and what it may do: the action, the limit for each, with whom.
AGENTS = {
    "support": ("shop", "refunds:request", "5000.00", ["customer-7"]),
    "payments": ("shop", "payments:refund", "500.00", ["customer-7"]),
    "bank": ("bank", "transfers:execute", "1000.00", ["customer-7", "customer-8"]),
}
OWNERS = ("shop", "bank")
#: What a stranger gets to verify the incident with.
KEPT = {"incident.zip", "shop.pem", "bank.pem", "policy.txt", "keys.json"}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [KAKUNIN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def kakunin(*arguments: object) -> dict[str, str]:
    """The answer of a command that must succeed."""
    done = run(*arguments, "--json")
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))}: {done.returncode}\n{done.stdout}{done.stderr}")
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


class Owner:
    """A root, an issuing authority, a log, and the agents that have their certificates from there."""

    def __init__(self, work: Path, name: str) -> None:
        self.home, self.agents = work / name, work / "agents"
        self._names = [agent for agent, (owner, *_) in AGENTS.items() if owner == name]
        kakunin("init", "--home", self.home)
        shutil.copy(self.home / "public" / "ca.pem", work / f"{name}.pem")
        # Begun before the agents: they know its key, and their receipts name the latest checkpoint there was.
        self.log_key = kakunin("log", "--home", self.home)["log"]
        for agent in self._names:
            self._certify(agent)

    def _certify(self, agent: str) -> None:
        _, action, limit, parties = AGENTS[agent]
        scope = {
            "actions": [action],
            "limit": [{"for": [action], "currency": "EUR", "per_action": limit}],
            "counterparties": [{"for": [action], "allow": parties}],
            "resources": [{"for": [action], "allow": ["ticket:*"], "optional": True}],
        }
        file, out = self.home / f"{agent}.json", self.agents / agent
        file.write_text(json.dumps(scope))
        kakunin("agent", "create", agent, "--scope", file, "--out", out, "--home", self.home)

    @property
    def journals(self) -> list[Path]:
        return [self.agents / agent for agent in self._names]

    def publish(self, witness: Path) -> str:
        """Logs what the agents did and has it witnessed. Gives the witness's key."""
        log = self.home / "log"
        kakunin("log", "--home", self.home, *each("--journal", self.journals))
        watch = ("witness", "--state", witness, "--log", log, "--log-key", self.log_key)
        kakunin(*watch, "--out", self.home / "public" / "checkpoint")
        return kakunin(*watch)["witness"]


def each(option: str, values: list[Path] | list[str]) -> list[object]:
    return [word for value in values for word in (option, value)]


def let_them_work(agents: Path, ticket: str) -> str:
    """The incident itself: three processes, of which each knows its own agent only. Gives the chain."""
    program = [sys.executable, "-W", "error"]
    bank = [*program, HERE / "bank.py", agents / "bank"]
    serve = [*program, HERE / "payments.py", agents / "payments", *bank]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as payments:
        try:
            assert payments.stdout
            url = payments.stdout.readline().strip()
            ask = [*program, HERE / "support.py", agents / "support", url, ticket]
            done = subprocess.run(ask, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
        finally:
            payments.send_signal(signal.SIGTERM)
    result = json.loads(done.stdout)
    print(f"  {ticket}, chain {result['chain']}")
    for answer in result["answers"]:
        print(f"    {answer}")
    return str(result["chain"])


def delete_all_but(work: Path, kept: set[str]) -> None:
    for path in work.iterdir():
        if path.name not in kept:
            shutil.rmtree(path)


def main(work: Path) -> int:
    print("Two owners, three agents, a witness")
    owners = [Owner(work, name) for name in OWNERS]
    agents, witness = work / "agents", work / "witness"

    print("Two incidents, the first of them long ago")
    let_them_work(agents, "ticket:4710")
    for owner in owners:
        owner.publish(witness)
    chain = let_them_work(agents, "ticket:4711")
    for owner in owners:
        witness_key = owner.publish(witness)
    (work / "policy.txt").write_text(f"witness watcher {witness_key}\nquorum watcher\n")
    log_keys = [owner.log_key for owner in owners]
    (work / "keys.json").write_text(json.dumps(log_keys))

    print("The second one, in one file")
    journals = each("--journal", [journal for owner in owners for journal in owner.journals])
    logs = each("--log", [owner.home / "log" for owner in owners])
    bundle = work / "incident.zip"
    kakunin("export", *journals, *logs, "--chain", chain, "--out", bundle)
    print(f"  {bundle.name}, {bundle.stat().st_size} bytes")

    print("Verified, with both authorities, all agents and the witness gone")
    delete_all_but(work, KEPT)
    roots = each("--root", [work / f"{name}.pem" for name in OWNERS])
    words = [*each("--log-key", log_keys), "--witness-policy", work / "policy.txt"]
    page = work / "incident.html"
    verified = run("verify", bundle, *roots, *words, "--replay", "--html", page)
    print("".join(f"  {line}\n" for line in verified.stdout.splitlines()), end="")
    if verified.returncode or not verified.stdout.startswith(f"COMPLETE: chain {chain}"):
        print(verified.stderr, file=sys.stderr)
        return 1
    print(f"  drawn in {page.name}, {page.stat().st_size} bytes")

    # Whoever believes no log and no witness has the receipts all the same, and no word on what may lack.
    alone = run("verify", bundle, *roots)
    if alone.returncode != 3:
        print(alone.stdout, alone.stderr, file=sys.stderr)
        return 1
    print(f"  without the keys of logs and witness: {alone.stdout.split(':')[0].splitlines()[0]}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        kept = Path(sys.argv[1])
        kept.mkdir(parents=True)
        sys.exit(main(kept))
    with tempfile.TemporaryDirectory(prefix="kakunin-incident-") as directory:
        sys.exit(main(Path(directory)))
