"""Scopes written from calls, and real certificates for them, issued by the command line `kakunin`."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Flag, auto
from pathlib import Path
from typing import Any

from agentdojo.functions_runtime import Function, FunctionCall

from meanings import meaning, names


class Rules(Flag):
    """Which rules a scope has beside its list of actions."""

    NONE = 0
    COUNTERPARTIES = auto()
    AMOUNTS = auto()
    RESOURCES = auto()


@dataclass
class Scope:
    """A scope file, and the lists of names that go beside it."""

    document: dict[str, Any]
    lists: dict[str, list[str]] = field(default_factory=dict)


class Authority:
    """An authority made on the spot in a folder, driven by its command line as an operator does."""

    def __init__(self, command: str, folder: Path) -> None:
        self._folder = folder
        self._passphrase = folder / "passphrase"
        self._passphrase.write_text(secrets.token_hex(16) + "\n")
        self._passphrase.chmod(0o600)
        self._command = [command, "--home", str(folder / "home"), "--passphrase-file", str(self._passphrase)]
        self._run("init")

    def certify(self, name: str, scope: Scope) -> Path:
        """Creates and certifies an agent; its directory."""
        folder = self._folder / name
        folder.mkdir()
        for file, entries in scope.lists.items():
            (folder / file).write_text("".join(f"{entry}\n" for entry in entries))
        (folder / "scope.json").write_text(json.dumps(scope.document, indent=1))
        out = folder / "agent"
        self._run("agent", "create", name, "--scope", str(folder / "scope.json"), "--out", str(out))
        return out

    def proven(self, agent: Path) -> tuple[int, int]:
        """How many allowed and denied decisions an agent's closed journal proves, given the root."""
        root = self._folder / "home" / "public" / "ca.pem"
        # The best verdict for a journal that nobody else has witnessed.
        answer = self._run("verify", str(agent), "--root", str(root), "--json", ends=AUTHENTIC_NOT_COMPLETE)
        streams = json.loads(answer)["streams"]
        return sum(stream["allowed"] for stream in streams), sum(stream["denied"] for stream in streams)

    def _run(self, *arguments: str, ends: int = 0) -> str:
        command = [*self._command, *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != ends:
            raise SystemExit(f"kakunin {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
        return done.stdout


def action(suite: str, tool: str) -> str:
    """The action that a certificate calls a tool by."""
    return f"{suite}:{tool}"


def scope_of(suite: str, tools: list[Function], calls: Iterable[FunctionCall], rules: Rules) -> Scope:
    """The narrowest scope of the given kind that allows `calls`."""
    made: dict[str, list[FunctionCall]] = defaultdict(list)
    for call in calls:
        made[call.function].append(call)
    scope = Scope({"actions": sorted(action(suite, tool) for tool in made)})
    rooms: dict[str, list[dict[str, Any]]] = {"counterparties": [], "resources": [], "limit": []}
    for tool in (tool for tool in tools if tool.name in made):
        told = meaning(suite, tool.name)
        seen = made[tool.name]
        one = [action(suite, tool.name)]
        if Rules.COUNTERPARTIES in rules and told.counterparties:
            rule = _names(tool, told.counterparties, seen)
            if told.personal:
                file = f"{tool.name}.txt"
                scope.lists[file] = rule.pop("allow")
                rule["allow_file"] = file
            rooms["counterparties"].append({"for": one, **rule})
        if Rules.RESOURCES in rules and told.resources:
            rooms["resources"].append({"for": one, **_names(tool, told.resources, seen)})
        if Rules.AMOUNTS in rules and told.amount:
            rooms["limit"].append({"for": one, **_limit(tool, told.amount, seen)})
    scope.document |= {room: entries for room, entries in rooms.items() if entries}
    return scope


def _names(tool: Function, parameters: tuple[str, ...], calls: list[FunctionCall]) -> dict[str, Any]:
    """One rule for all parameters of a kind: a certificate knows which names, not in which parameter."""
    allow = {name for call in calls for parameter in parameters for name in names(call.args.get(parameter))}
    # A set has at least one name. Where the work named none, one stands for it that nothing here is called.
    rule: dict[str, Any] = {"allow": sorted(allow) or [NOBODY]}
    return rule | _optional(tool, parameters)


def _limit(tool: Function, parameter: str, calls: list[FunctionCall]) -> dict[str, Any]:
    amounts = (call.args.get(parameter) for call in calls)
    most = max((Decimal(str(amount)) for amount in amounts if amount is not None), default=Decimal(0))
    return {"currency": CURRENCY, "per_action": f"{most:.2f}"} | _optional(tool, (parameter,))


def _optional(tool: Function, parameters: tuple[str, ...]) -> dict[str, Any]:
    """A rule is mandatory exactly if a call of the tool cannot be made without a value for it."""
    fields = tool.parameters.model_fields
    return {} if any(fields[parameter].is_required() for parameter in parameters) else {"optional": True}


AUTHENTIC_NOT_COMPLETE = 3
NOBODY = "nobody"
#: AgentDojo's bank has balances and no currency; IBANs of its owners are European.
CURRENCY = "EUR"
