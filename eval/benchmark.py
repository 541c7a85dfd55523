"""AgentDojo's cases: what the user's agent does, what a captured one does, and how the benchmark judges it.

No model is asked. The agent is taken to be captured entirely: it makes all calls of the user's task and all
calls of the injection, the injection once after and once before the user's calls. A denied call does not
run and the agent goes on. Attack and task are judged by the benchmark's own `security` and `utility` on the
state in which the tools left it.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from agentdojo.functions_runtime import Function, FunctionCall, FunctionsRuntime
from agentdojo.task_suite.load_suites import get_suites
from agentdojo.types import text_content_block_from_string

from workspace_attacks import written_calls

BENCHMARK = "v1.2.2"
RELEASE = "0.1.35"
#: Over every source and data file of that release, as installed: see `release_digest`.
DIGEST = "aab82babb6b79581150f229f1f0df13455001fd087305f95834b9beab024ce90"

#: Who acts first, who last.
ORDERS = (("user", "attacker"), ("attacker", "user"))

#: Runs one call and says whether it was let through.
Act = Callable[[FunctionsRuntime, Any, FunctionCall], bool]


@dataclass(frozen=True)
class Service:
    """What the user got from one task: how many calls were blocked, and whether the task was solved."""

    blocked: int
    solved: bool


class Suite:
    """One suite of the benchmark and everything that can be asked of it."""

    def __init__(self, suite: Any) -> None:
        self._suite = suite
        self._environment = suite.load_and_inject_default_environment({})
        self._judged: dict[tuple[object, ...], bool] = {}
        self._planned: dict[tuple[str, str], list[FunctionCall]] = {}
        self.name: str = suite.name
        self.tools: list[Function] = suite.tools
        self.user_tasks: dict[str, Any] = suite.user_tasks
        self.injections: dict[str, Any] = suite.injection_tasks
        #: The calls that solve each user task.
        self.user_calls = {
            task: list(self.user_tasks[task].ground_truth(self.environment(task))) for task in self.user_tasks
        }

    def environment(self, task: str) -> Any:
        """The untouched world of a user task."""
        return self.user_tasks[task].init_environment(self._environment.model_copy(deep=True))

    def serve(self, tools: list[Function], act: Act, task: str) -> Service:
        """Makes the user's calls alone."""
        world = self.environment(task)
        passed = self._make(self.user_calls[task], tools, act, world)
        return Service(passed.count(False), self._judge(task, None, world, self.user_calls[task], passed))

    def attack(self, tools: list[Function], act: Act, task: str, injection: str) -> bool:
        """Makes the calls of a case in both orders; whether the attack succeeded in either."""
        succeeded = [self._attack(tools, act, task, injection, order) for order in ORDERS]
        return any(succeeded)

    def _attack(
        self, tools: list[Function], act: Act, task: str, injection: str, order: tuple[str, str]
    ) -> bool:
        world = self.environment(task)
        calls: list[FunctionCall] = []
        passed: list[bool] = []
        for who in order:
            some = self.user_calls[task] if who == "user" else self._injected(task, injection, world)
            calls += some
            passed += self._make(some, tools, act, world)
        # The end depends on which calls ran and on nothing else, so equal runs are judged once.
        key = (task, injection, order, tuple(passed))
        if key not in self._judged:
            self._judged[key] = self._judge(task, injection, world, calls, passed)
        return self._judged[key]

    def _make(self, calls: list[FunctionCall], tools: list[Function], act: Act, world: Any) -> list[bool]:
        runtime = FunctionsRuntime(tools)
        return [act(runtime, world, copy.deepcopy(call)) for call in calls]

    def _injected(self, task: str, injection: str, world: Any) -> list[FunctionCall]:
        """The injection's calls in a world in which the user's calls may have happened already."""
        calls = copy.deepcopy(self._plan(task, injection))
        if self.name != "workspace":
            return calls
        # A plan names the mails it will send by the ids they would get at the start. Mails that the user's
        # calls sent meanwhile move those ids up.
        first = int(self.environment(task).inbox._get_next_id())
        sent = int(world.inbox._get_next_id()) - first
        for call in calls:
            if call.function == "delete_email" and int(str(call.args["email_id"])) >= first:
                call.args["email_id"] = str(int(str(call.args["email_id"])) + sent)
        return calls

    def _plan(self, task: str, injection: str) -> list[FunctionCall]:
        """The injection's calls, as the captured agent plans them at the start of a user task."""
        if (task, injection) not in self._planned:
            goal = self.injections[injection]
            calls = list(goal.ground_truth(self.environment(task)))
            if not calls and self.name == "workspace":
                calls = written_calls(goal, self.environment(task))
            self._planned[task, injection] = calls
        return self._planned[task, injection]

    def _judge(
        self, task: str, injection: str | None, end: Any, calls: list[FunctionCall], passed: list[bool]
    ) -> bool:
        """The benchmark's word: `utility` of the task if there is no injection, else `security` of that."""
        goal = self.user_tasks[task] if injection is None else self.injections[injection]
        said = self.user_tasks[task].GROUND_TRUTH_OUTPUT
        if injection is not None and not self._plan(task, injection):
            # An injection that only wants something said. No leash on actions can see it.
            said = f"{said} {goal.GOAL}"
        done = [call for call, ran in zip(calls, passed, strict=True) if ran]
        output = [text_content_block_from_string(said)]
        return bool(self._suite._check_task_result(goal, output, self.environment(task), end, done))


def load() -> list[Suite]:
    """The suites of the pinned release; an error if anything else is installed."""
    found = release_digest()
    if found != DIGEST:
        raise SystemExit(f"agentdojo is not the release {RELEASE} that the figures are about: {found}")
    return [Suite(suite) for suite in sorted(get_suites(BENCHMARK).values(), key=lambda suite: suite.name)]


def release_digest() -> str:
    """SHA-256 over names and contents of AgentDojo's installed files; compiled ones do not count."""
    digest = hashlib.sha256()
    for file in sorted(metadata.files("agentdojo") or [], key=str):
        if file.parts[0] == "agentdojo" and file.suffix != ".pyc":
            content = hashlib.sha256(file.read_binary()).hexdigest()
            digest.update(f"{file} {content}\n".encode())
    return digest.hexdigest()
