"""Commands, patience, and a screen that remembers whether every line held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

KAKUNIN = os.environ.get("KAKUNIN_CLI", "kakunin")

#: How long anything else may take. It says that something is wrong, and nothing about how fast it is.
PATIENCE = 120.0


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [KAKUNIN, *map(str, arguments)]
    streams = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
    return subprocess.run(command, env={**os.environ, **environment}, **streams)


def kakunin(*arguments: object, code: int = 0, **environment: str) -> dict[str, Any]:
    """What a command answers that must end with this code."""
    done = run(*arguments, "--json", **environment)
    if done.returncode != code:
        words = " ".join(map(str, arguments))
        sys.exit(f"{words}: {done.returncode} and not {code}\n{done.stdout}{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    return answer


def until(what: str, look: Callable[[], Any]) -> Any:
    """Looks again and again until there is something to see."""
    begun = time.monotonic()
    while not (seen := look()):
        if time.monotonic() - begun > PATIENCE:
            sys.exit(f"{what}: not within {PATIENCE:.0f} s")
        time.sleep(0.02)
    return seen


def each(option: str, values: Iterable[object]) -> list[object]:
    return [word for value in values for word in (option, value)]


class Screen:
    """Prints one line a fact and remembers whether all of them held."""

    def __init__(self) -> None:
        self.failed = 0

    def title(self, text: str) -> None:
        print(f"\n{text}", flush=True)

    def line(self, held: bool, what: str, result: object) -> None:
        self.failed += not held
        print(f"  {'ok  ' if held else 'FAIL'} {what:<52} {result}", flush=True)
