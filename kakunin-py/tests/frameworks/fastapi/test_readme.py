"""The README's service that demands proof, as pasted: its files, its commands, what it says they print."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

README = Path(__file__).parents[4] / "README.md"
BLOCK = re.compile(r"^```(\w+)[ ]?(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def between(begin, end):
    return re.search(f"<!-- {begin} -->(.*?)<!-- {end} -->", README.read_text(), re.DOTALL)[1]


def test_the_service_of_the_readme_works_as_pasted(cli, tmp_path):
    blocks = BLOCK.findall(between("a service that demands proof", "end of a service that demands proof"))
    scope = BLOCK.findall(between("five minutes", "end of five minutes"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for _, name, text in [*scope, *blocks]:
        if name:
            (tmp_path / name).write_text(text.replace("8000", str(port)))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "kakunin").symlink_to(os.environ["KAKUNIN_CLI"])
    path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}

    def run(line):
        return subprocess.run(
            ["bash", "-c", line.replace("8000", str(port))], cwd=tmp_path, env=environment,
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip

    cli("init", cwd=tmp_path)
    cli("agent", "create", "billing", "--scope", "scope.toml", "--out", "agents/billing", cwd=tmp_path)
    first, second = (text.splitlines() for language, name, text in blocks if language == "sh")
    for line in first[:-1]:
        done = run(line)
        assert done.returncode == 0, done.stderr
    with (tmp_path / "log").open("w") as log:
        command = ["bash", "-c", f"exec {first[-1]}".replace("8000", str(port))]
        served = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while run(second[0]).stdout != "200 paid\n":
            assert served.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (run(second[0]), (tmp_path / "log").read_text())
            time.sleep(0.5)
        for line in second:
            expected = line.rpartition("# ")[2]
            assert expected in run(line).stdout, (line, run(line))
    finally:
        served.send_signal(signal.SIGTERM)
        served.wait(30)
