"""Run the README's four commands exactly as a reader would paste them.

Between the two `four commands` comments, each line of a `sh` block is run in one shell, in order. The line of
a `sh NAME` block runs in a terminal of its own and goes on; what it prints is waited for. A reader replaces
`kak_live_...` and `kak_enrol_...` by what was printed before, and so does this; the port is a free one.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PATH = re.compile(r"<!-- four commands -->(.*?)<!-- end of four commands -->", re.DOTALL)
BLOCK = re.compile(r"^```sh[ ]?(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SECRET = re.compile(r"kak_(live|enrol)_\w+")
#: What a terminal prints when the next command may be typed.
READY = {"authority": "kak_live_", "agent": "paid ", "node": "paid "}
#: A revocation is promised within a second; a machine that is busy with other tests gets five.
PROMISED = 5.0


class Terminal:
    """A command that goes on while others are typed."""

    def __init__(self, name: str, script: str, folder: Path) -> None:
        self.name, self._shown = name, folder / f"{name}.log"
        with self._shown.open("wb") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
            self.process = subprocess.Popen(["bash", "-c", script], cwd=folder, **streams)

    def said(self) -> str:
        return self._shown.read_text()

    def until(self, word: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while word not in self.said():
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"[{self.name}] did not say `{word}`:\n{self.said()}")
            time.sleep(0.005)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def hidden(text: str) -> str:
    return SECRET.sub(r"kak_\1_...", text)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Reader:
    """Types what the README says, with what was printed in the place of the dots."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.terminals, self.printed = folder, {}, ""
        self.address = f"127.0.0.1:{free_port()}"
        # Variables of earlier lines hold for later ones.
        self.exports: list[str] = []

    def pasted(self, text: str) -> str:
        for kind in ("live", "enrol"):
            found = re.findall(rf"kak_{kind}_\w+", self.printed)
            if found:
                text = text.replace(f"kak_{kind}_...", found[-1])
        return text.replace("127.0.0.1:8080", self.address)

    def open(self, name: str, line: str) -> None:
        line = self.pasted(line)
        print(f"[{name}] $ {hidden(line)}", flush=True)
        # In the place of the shell: what ends the terminal ends the command.
        terminal = Terminal(name, "\n".join([*self.exports, f"exec env {line}"]), self.folder)
        self.terminals[name] = terminal
        terminal.until(READY[name], 120)
        self.printed += terminal.said()

    def type(self, line: str) -> None:
        line = self.pasted(line)
        print(f"$ {hidden(line)}", flush=True)
        if line.startswith("export "):
            self.exports.append(line)
        script = "\n".join([*self.exports, line])
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        print(
            hidden(done.stdout), end="" if done.stdout.endswith("\n") or not done.stdout else "\n", flush=True
        )
        if done.returncode != 0 or '"error"' in done.stdout:
            sys.exit(f"this line should have worked; it ended with {done.returncode}\n{done.stderr}")
        self.printed += done.stdout


def main(readme: Path, examples: Path, folder: Path) -> None:
    path = PATH.search(readme.read_text())
    if not path:
        sys.exit(f"{readme} has no four commands")
    for agent in ("python/agent.py", "node/agent.mjs"):
        shutil.copy(examples / agent, folder)
    reader, answered = Reader(folder), 0.0
    try:
        for name, text in BLOCK.findall(path[1]):
            # What is quoted goes on over the end of a line.
            lines = re.sub(r"'[^']*'", lambda quoted: quoted[0].replace("\n", " "), text).splitlines()
            for line in filter(None, lines):
                reader.open(name, line) if name else reader.type(line)
            answered = time.monotonic()
        loops = [reader.terminals[name] for name in ("agent", "node")]
        for paying in loops:
            paying.until("certificate.revoked", PROMISED)
        print(f"the loops were denied {time.monotonic() - answered:.2f} s after the answer")
        for paying in loops:
            if paying.process.wait(10) != 1:
                sys.exit(f"[{paying.name}] ended with {paying.process.returncode}")
        answer = json.loads(reader.printed.strip().splitlines()[-1])
        if not isinstance(answer["epoch"], int) or answer["standing"] != "revoked":
            sys.exit(f"the answer names no epoch: {answer}")
        for paying in loops:
            said = paying.said().strip().splitlines()
            if not said[0].startswith("paid ") or "paid " in said[-1]:
                sys.exit(paying.said())
    finally:
        for terminal in reversed(reader.terminals.values()):
            terminal.end()
    if reader.terminals["authority"].process.returncode != 0:
        sys.exit(reader.terminals["authority"].said())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
