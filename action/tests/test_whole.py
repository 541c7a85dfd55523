"""The examples as they are written, with the real program, an agent's receipts, and its authority.

For GitHub the inputs are those of example.yml, for GitLab and a shell the lines of docs/gate.md.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from job import ACTION, KAKUNIN, Runner, host, sha256

ROOT = ACTION.parent
ISSUER = "https://token.actions.githubusercontent.com"
AUDIENCE = "https://authority.example"
PRODUCTION = "repo:acme/agents:environment:production"

SCOPE = """actions = ["orders:read", "mail:send", "refunds:send"]
"""
GATE = """actions = ["gate:promote", "gate:refuse"]
[[counterparties]]
for = ["gate:*"]
allow = ["urn:kakunin:agent:*"]
"""
EXAMPLES = """
[[allowed]]
action = "orders:read"

[[denied]]
action = "payments:wire"
code = "scope.action"
"""


class Shop:
    """An agent with its authority, as far as a pipeline sees of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "KAKUNIN_SHA256": sha256(KAKUNIN),
        }
        (folder / "bin").mkdir()
        (folder / "bin/kakunin").symlink_to(KAKUNIN)
        for name in ("ci", "evidence"):
            (folder / name).mkdir()
        (folder / "deploy.sh").write_text("#!/bin/sh\ntouch deployed\n")
        (folder / "deploy.sh").chmod(0o755)
        self.run("init")
        (folder / "scope.toml").write_text(SCOPE)
        made = self.run("agent", "create", "billing", "--scope", "scope.toml", "--out", "agents/billing")
        self.agent = made["id"]
        self.work(150, "orders:read", "orders:read", "mail:send")
        root = folder / ".kakunin/public/ca.pem"
        words = ["risk", "baseline", "agents/billing", "--root", root]
        baseline = self.run(*words, "--out", "ci/billing.baseline.json")
        # The gate's own agent has a home of its own.
        (folder / "gate.scope.toml").write_text(GATE)
        self.run("init", "--home", "gate-home")
        words = ["agent", "create", "gate", "--scope", "gate.scope.toml", "--out", "agents/gate"]
        self.run(*words, "--home", "gate-home")
        shutil.copy(root, folder / "ci/root.pem")
        self.publish()
        self.terms = f'baseline = "{baseline["digest"]}"\n'
        self.policy("")
        asked = ["gate", "--certificate", "evidence/agent.pem", "--root", "ci/root.pem"]
        asked += ["--crl", "evidence/lists.pem", "--receipts", "evidence/incident.zip"]
        asked += ["--policy", "ci/gate.toml"]
        self.scope = self.run(*asked, "--baseline", "ci/billing.baseline.json", code=1)["scope"]
        # Nothing was promoted before, so somebody has to say that this may be.
        approved = f'[[approve]]\nfrom = "none"\nto = "{self.scope}"\n'
        self.policy(f'{approved}by = "Ada"\nuntil = "2099-01-01T00:00:00Z"\n')
        # Where the shell's example has them.
        for name, here in (("ca.pem", "ci/root.pem"), ("lists.pem", "evidence/lists.pem")):
            (folder / name).symlink_to(folder / here)
        for name in ("gate.toml", "billing.baseline.json"):
            (folder / name).symlink_to(folder / "ci" / name)

    def run(self, *words: object, code: int = 0) -> dict:
        command = [str(KAKUNIN), *map(str, words), "--json"]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout.splitlines()[0])

    def policy(self, more: str) -> None:
        (self.folder / "ci/gate.toml").write_text(self.terms + more + EXAMPLES)

    def work(self, calls: int, *actions: str) -> None:
        """Calls of the agent in a process of its own, with the package as it is built."""
        script = ROOT / "scripts/page_calls.py"
        command = [sys.executable, script, "agents/billing", "agents/billing/state", str(calls), *actions]
        environment = self.environment | {"PYTHONPATH": os.environ["KAKUNIN_PACKAGE"]}
        subprocess.run(command, cwd=self.folder, env=environment, check=True)

    def publish(self) -> None:
        """Brings evidence/ up to date, as it comes from where the agent runs."""
        papers = [(self.folder / "agents/billing" / name).read_text() for name in ("agent.pem", "chain.pem")]
        (self.folder / "evidence/agent.pem").write_text("".join(papers))
        shutil.copy(self.folder / ".kakunin/public/lists.pem", self.folder / "evidence/lists.pem")
        self.run("export", "--journal", "agents/billing", "--out", "evidence/fresh.zip")
        (self.folder / "evidence/fresh.zip").replace(self.folder / "evidence/incident.zip")

    def shell(self, lines: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Lines of an example, in a shell that stops at the first of them that fails."""
        environment = self.environment | more
        return subprocess.run(
            ["sh", "-e", "-c", lines], cwd=self.folder, env=environment, capture_output=True, text=True
        )

    @contextmanager
    def served(self, *more: str) -> Iterator[str]:
        ready = self.folder / "ready.json"
        words = ["serve", "--listen", "127.0.0.1:0", "--without-feed", "--ready-file", ready, *more]
        with (self.folder / "service.log").open("w") as log:
            command = [str(KAKUNIN), *map(str, words)]
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        try:
            end = time.monotonic() + 120
            while not ready.exists():
                assert process.poll() is None, (self.folder / "service.log").read_text()
                assert time.monotonic() < end, "the service is not ready"
                time.sleep(0.02)
            yield json.loads(ready.read_text())["url"]
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    folder = tmp_path / "shop"
    folder.mkdir()
    return Shop(folder)


def example(shop: Shop, runner: Runner) -> Runner:
    """The job of example.yml, with the program of this tree."""
    workflow = yaml.safe_load((ACTION / "example.yml").read_text())
    (gate,) = [step for step in workflow["jobs"]["promote"]["steps"] if step.get("id") == "gate"]
    inputs = dict(gate["with"])
    del inputs["binary-url"]
    runner.inputs = inputs | {"binary": str(KAKUNIN), "binary-sha256": sha256(KAKUNIN)}
    runner.folder = shop.folder
    return runner


def written(heading: str) -> str:
    """The block of docs/gate.md under this heading."""
    page = (ROOT / "docs/gate.md").read_text()
    found = re.search(rf"^## {heading}\n.*?^```\w+\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[1]


def token(key: rsa.RSAPrivateKey, subject: str) -> bytes:
    """What a runner answers who asks for a token of the job."""
    at = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "repository_id": "4711", "run_id": "17"}
    claims |= {"iat": at, "nbf": at, "exp": at + 300}
    signed = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "k1"})
    return json.dumps({"count": len(signed), "value": signed}).encode()


def test_the_example_for_github_promotes_until_the_agent_drifts_and_then_holds_it(
    shop: Shop, runner: Runner
) -> None:
    code, outputs, said = example(shop, runner).run()
    assert (code, outputs["decision"], outputs["level"]) == (0, "pass", "clear"), said
    assert outputs["agent-suspended"] == outputs["cert-revoked"] == "false"
    record = (shop.folder / "ci/promoted.pem").read_text()
    assert record.startswith((shop.folder / "agents/billing/agent.pem").read_text().strip()[:200])
    assert "kakunin gate: pass" in runner.summary.read_text()
    assert json.loads((shop.folder / "gate.sarif").read_text())["runs"][0]["results"] == []

    # What was promoted is put into the policy, which is reviewed: a runner keeps nothing.
    shop.policy(f'promoted = "{shop.scope}"\n')
    runner.output.unlink()
    code, outputs, said = runner.run()
    assert (code, outputs["decision"]) == (0, "pass"), said

    # What it never did before, again and again.
    shop.work(60, "refunds:send")
    shop.publish()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    shown = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": "k1", "use": "sig"}
    (shop.folder / "github.jwks.json").write_text(json.dumps({"keys": [shown]}))
    (shop.folder / "oidc.toml").write_text(
        f'[[issuer]]\nurl = "{ISSUER}"\naudience = "{AUDIENCE}"\nkeys = "github.jwks.json"\n'
        f'[[issuer.grant]]\nname = "promote"\nsubject = "{PRODUCTION}"\n'
        f'claims = {{ repository_id = "4711" }}\nrole = "revoker"\nagents = ["{shop.agent}"]\n'
    )
    with shop.served("--oidc", "oidc.toml") as url:
        shutil.copy(shop.folder / ".kakunin/public/lists.pem", shop.folder / "evidence/lists.pem")
        runner.inputs |= {"suspend-on-fail": "true", "url": url, "oidc-audience": AUDIENCE}
        for subject, held in (("repo:acme/agents:pull_request", "false"), (PRODUCTION, "true")):
            with host(token(key, subject)) as (place, _):
                given = {"ACTIONS_ID_TOKEN_REQUEST_URL": place, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "right"}
                runner.given = given
                code, outputs, said = runner.run()
            assert (code, outputs["decision"]) == (1, "fail"), said
            assert (outputs["agent-suspended"], outputs["cert-revoked"]) == (held, "false"), said
            assert outputs["level"] in ("suspend", "revoke") and int(outputs["risk-score"]) >= 750
            assert ("oidc.grant" in said) is (held == "false"), said
        results = json.loads((shop.folder / "gate.sarif").read_text())["runs"][0]["results"]
        assert [result["ruleId"] for result in results] == ["gate.risk_level"]
    assert shop.run("agent", "show", "billing")["standing"] == "held"
    assert (shop.folder / "ci/promoted.pem").read_text() == record, "what was promoted last stands"


def test_the_example_for_gitlab_does_what_it_says(shop: Shop) -> None:
    job = yaml.safe_load(written("GitLab"))["gate"]
    assert job["artifacts"]["when"] == "always" and "allow_failure" not in job
    variables = {"CI_COMMIT_SHA": "c0ffee", "CI_PIPELINE_ID": "17", "CI_PROJECT_PATH": "acme/agents"}

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        return shop.shell("\n".join(job["script"]), **variables | more)

    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((shop.folder / "gate.json").read_text())
    assert told["decision"] == "pass", told
    for path in job["artifacts"]["paths"]:
        assert (shop.folder / path).stat().st_size > 0
    # A program of another digest is not run, and an agent without evidence is not promoted.
    (shop.folder / "gate.json").unlink()
    assert run(KAKUNIN_SHA256="0" * 64).returncode == 1
    assert not (shop.folder / "gate.json").exists()
    (shop.folder / "evidence/incident.zip").unlink()
    assert run().returncode == 2


def test_the_example_for_a_shell_deploys_what_passes_and_nothing_else(shop: Shop) -> None:
    lines = written("A shell")
    done = shop.shell(lines)
    assert done.returncode == 0 and (shop.folder / "deployed").exists(), done.stdout + done.stderr
    assert (shop.folder / "promoted.pem").exists()
    signed = shop.run("verify", "agents/gate", "--root", "gate-home/public/ca.pem", code=3)["counts"]
    assert (signed["allowed"], signed["outcomes"]) == (1, 1), signed
    (shop.folder / "deployed").unlink()
    shop.work(60, "refunds:send")
    done = shop.shell(lines)
    assert not (shop.folder / "deployed").exists(), done.stdout + done.stderr
    assert "gate.risk_level" in done.stdout + done.stderr
