"""AgentDojo's tools under the real decorator, and the time that each decision took."""

from __future__ import annotations

import functools
import time
from collections import Counter
from typing import Any

import kakunin
from agentdojo.functions_runtime import Function, FunctionCall, FunctionsRuntime

from certificates import CURRENCY, Rules, action
from meanings import meaning, names_of


class Decisions:
    """Every decision of this process: how many, why denied, and how long each took.

    The time runs from the call of a guarded tool to the first line of its body, or to the caller's `except`:
    binding of arguments, selectors, the decision and its receipt in the journal.
    """

    def __init__(self) -> None:
        self.nanoseconds: list[int] = []
        self.denials: Counter[str] = Counter()
        self._began = 0

    def counts(self) -> tuple[int, int]:
        """How many were allowed and denied so far."""
        denied = self.denials.total()
        return len(self.nanoseconds) - denied, denied

    def begin(self) -> None:
        self._began = time.perf_counter_ns()

    def end(self) -> None:
        self.nanoseconds.append(time.perf_counter_ns() - self._began)


def guard(suite: str, tools: list[Function], rules: Rules, decisions: Decisions) -> list[Function]:
    """The tools of a suite, each guarded with the selectors that `rules` need."""
    return [_guard_one(suite, tool, rules, decisions) for tool in tools]


def act(decisions: Decisions, runtime: FunctionsRuntime, environment: Any, call: FunctionCall) -> bool:
    """Makes a call as AgentDojo's runtime does; whether it was let through, and not whether it worked."""
    try:
        runtime.run_function(environment, call.function, call.args, raise_on_error=True)
    except kakunin.ScopeDenied as denied:
        decisions.denials[denied.code] += 1
        if denied.code not in EXPECTED:
            raise SystemExit(f"a denial for another reason than the leash: {denied}") from denied
        return False
    except Exception:  # the tool's own failure: the agent is told and goes on
        return True
    return True


def _guard_one(suite: str, tool: Function, rules: Rules, decisions: Decisions) -> Function:
    told = meaning(suite, tool.name)
    selectors: dict[str, Any] = {}
    if Rules.COUNTERPARTIES in rules and told.counterparties:
        selectors["counterparty"] = names_of(told.counterparties)
    if Rules.RESOURCES in rules and told.resources:
        selectors["resource"] = names_of(told.resources)
    if Rules.AMOUNTS in rules and told.amount:
        # The model wrote a JSON number, and the tool takes it as a float.
        selectors |= {"amount": kakunin.as_written(told.amount), "currency": CURRENCY}

    original = tool.run

    @functools.wraps(original)
    def body(*arguments: Any, **named: Any) -> Any:
        decisions.end()
        return original(*arguments, **named)

    guarded = kakunin.verify_agent_scope(action(suite, tool.name), **selectors)(body)

    def timed(*arguments: Any, **named: Any) -> Any:
        decisions.begin()
        try:
            return guarded(*arguments, **named)
        except kakunin.ScopeDenied:
            decisions.end()
            raise

    return tool.model_copy(update={"run": timed})


EXPECTED = {"scope.action", "scope.amount", "scope.counterparty", "scope.resource"}
