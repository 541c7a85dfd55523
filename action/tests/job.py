"""A job of a pipeline, and the host that runs it."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import yaml

ACTION = Path(__file__).resolve().parent.parent
KAKUNIN = Path(os.environ["KAKUNIN_CLI"])

#: Writes its arguments, each ended by a zero octet, and says that it passed.
PROGRAM = """#!/bin/sh
printf '%s\\0' "$@" >"$RUNNER_TEMP/arguments"
env >"$RUNNER_TEMP/environment"
printf 'decision=pass\\n' >>"$GITHUB_OUTPUT"
"""


class Runner:
    """A job in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temp = folder / "temp"
        self.output = folder / "output"
        self.summary = folder / "summary"
        self.temp.mkdir()
        self.program = folder / "program"
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)
        self.inputs = {
            "binary": str(self.program),
            "binary-sha256": sha256(self.program),
            "certificate": "agent.pem",
            "root": "root.pem",
            "crl": "lists.pem",
            "receipts": "journal",
            "policy": "gate.toml",
        }
        #: What the runner gives a job besides.
        self.given: dict[str, str] = {}

    def step(self, script: str) -> subprocess.CompletedProcess[str]:
        """Runs a step of action.yml with the environment that it names, and no other."""
        metadata = yaml.safe_load((ACTION / "action.yml").read_text())
        steps = [step for step in metadata["runs"]["steps"] if script in step["run"]]
        assert len(steps) == 1
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_ACTION_PATH": str(ACTION),
            **self.given,
        }
        for name, value in steps[0]["env"].items():
            found = re.fullmatch(r"\$\{\{ inputs\.([a-z0-9-]+) \}\}", value)
            assert found, f"{name} is no input"
            default = metadata["inputs"][found[1]].get("default", "")
            environment[name] = self.inputs.get(found[1], default)
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", steps[0]["run"]]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)

    def run(self) -> tuple[int, dict[str, str], str]:
        """Both steps; the exit code, the outputs as the runner reads them, and what the log shows."""
        said = ""
        code = 0
        for script in ("install.sh", "gate.sh"):
            done = self.step(script)
            said += done.stdout + done.stderr
            code = done.returncode
            if code != 0:
                break
        return code, outputs(self.output), said

    def arguments(self) -> list[str]:
        return (self.temp / "arguments").read_bytes().decode().split("\0")[:-1]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def outputs(path: Path) -> dict[str, str]:
    """The file of outputs as the runner reads it: the last of a name counts."""
    found: dict[str, str] = {}
    lines = iter(path.read_text().split("\n")[:-1] if path.exists() else [])
    for line in lines:
        one = re.fullmatch(r"([A-Za-z0-9_-]+)=(.*)", line)
        many = re.fullmatch(r"([A-Za-z0-9_-]+)<<(.+)", line)
        if one:
            found[one[1]] = one[2]
        else:
            assert many, line
            value = []
            for part in lines:
                if part == many[2]:
                    break
                value.append(part)
            found[many[1]] = "\n".join(value)
    return found


@contextmanager
def host(answer: bytes, status: int = 200) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Where a runner gives out tokens of a job; what it was asked for, and by which right."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["authorization"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token?api-version=2.0", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def real(runner: Runner) -> None:
    """The program as it is built."""
    copy = runner.folder / "kakunin"
    shutil.copy(KAKUNIN, copy)
    runner.inputs |= {"binary": str(copy), "binary-sha256": sha256(copy)}
