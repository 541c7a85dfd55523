"""How far a certificate holds a captured agent: AgentDojo's 949 cases through the real decorator.

    make eval-leash

Each row of the table is one kind of certificate, issued by the real command line to one agent for each
suite (role) or for each user task (task), from the calls that solve the tasks. Each case is run twice, the
attack after and before the user's own calls, and counts as a successful attack if either succeeded. No
model, no network.

A host does three things here that any host would do: it names each tool as an action
(`banking:send_money`), it says which parameters are counterparties, resources and amounts (`meanings.py`),
and it spells names one way before it hands them to the guard (lower case, no `https://`, no trailing
slash).

Rules on names belong to an action and not to a parameter. Where an action has several parameters of a kind
(`to`, `cc` and `bcc`; the user and the address of an invitation), each of their names has to be in the
action's one set.

It ends with 0 only if every figure is the reference's or explained in `figures.py`.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import kakunin

from benchmark import BENCHMARK, RELEASE, Suite, load
from certificates import Authority, Rules, scope_of
from figures import Figures, table, unexplained
from guarded_tools import Decisions, act, guard

LIMITS = """\
Limits: the attacks are fixed, none of them picks values that the certificate allows, and the benchmark has
been criticised as weak (arXiv 2510.05244); a task certificate is written from the task's own solution, so
its row is an upper bound; a role certificate is written from the same tasks that it is tried on (leaving
the tried task out blocks 7.4 % of the user's calls and leaves 80 of 97 tasks solved); tasks are judged on
the benchmark's solutions and not on a model's behaviour. The agent is captured in every case, so no share
here compares with a figure that had a model in the loop."""


@dataclass(frozen=True)
class Tier:
    """A row of the table: what a certificate is written from and which rules it has."""

    row: str
    covers: Literal["nothing", "suite", "task"]
    rules: Rules = Rules.NONE


EVERYTHING = Rules.COUNTERPARTIES | Rules.AMOUNTS | Rules.RESOURCES

TIERS = [
    Tier("none", "nothing"),
    Tier("role: action", "suite"),
    Tier("role: action + amounts", "suite", Rules.AMOUNTS),  # in other rows the names decide first
    Tier("role: action + counterparties", "suite", Rules.COUNTERPARTIES),
    Tier("role: + amounts + resources", "suite", EVERYTHING),
    Tier("task: everything", "task", EVERYTHING),
]


class Replay:
    """The tiers over all suites, with one authority."""

    def __init__(self, suites: list[Suite], authority: Authority) -> None:
        self._suites = suites
        self._authority = authority
        self.decisions = Decisions()
        self.certificates = 0

    def row(self, tier: Tier) -> Figures:
        """The figures of one tier."""
        make = functools.partial(act, self.decisions)
        attacks: Counter[str] = Counter()
        blocked = solved = 0
        for suite in self._suites:
            tools = suite.tools
            if tier.covers != "nothing":
                tools = guard(suite.name, suite.tools, tier.rules, self.decisions)
            for agent, tasks in self._agents(tier, suite):
                with agent:
                    for task in tasks:
                        service = suite.serve(tools, make, task)
                        blocked += service.blocked
                        solved += service.solved
                        attacks[suite.name] += sum(
                            suite.attack(tools, make, task, injection) for injection in suite.injections
                        )
        return Figures(dict(attacks), blocked, solved)

    def summary(self, seconds: float) -> str:
        """What stood behind the figures."""
        taken = self.decisions.nanoseconds
        denials = ", ".join(f"{count} {code}" for code, count in sorted(self.decisions.denials.items()))
        return (
            f"{len(taken)} decisions under {self.certificates} certificates, each proven by its agent's"
            f" journal; denied: {denials}.\n"
            f"A decision took {statistics.median(taken) / 1000:.1f} µs in the median, from the call to the"
            f" body's first line or to the denial. The whole run took {seconds:.0f} s."
        )

    def _agents(self, tier: Tier, suite: Suite) -> Iterator[tuple[AbstractContextManager[object], list[str]]]:
        """The agents of a tier in a suite, each with the user tasks it works on."""
        every = list(suite.user_tasks)
        if tier.covers == "nothing":
            yield nullcontext(), every
        elif tier.covers == "suite":
            yield self._agent(tier, suite, every), every
        else:
            for task in every:
                yield self._agent(tier, suite, [task]), [task]

    @contextmanager
    def _agent(self, tier: Tier, suite: Suite, tasks: list[str]) -> Iterator[None]:
        """Within the block guarded tools act as a new agent that may do what `tasks` need."""
        calls = [call for task in tasks for call in suite.user_calls[task]]
        self.certificates += 1
        name = f"{suite.name}-{self.certificates}"
        folder = self._authority.certify(name, scope_of(suite.name, suite.tools, calls, tier.rules))
        before = self.decisions.counts()
        agent = kakunin.Agent.from_dir(folder)
        try:
            with kakunin.agent_context(agent):
                yield
        finally:
            agent.close()
        made = tuple(now - then for now, then in zip(self.decisions.counts(), before, strict=True))
        proven = self._authority.proven(folder)
        if proven != made:
            raise SystemExit(f"{name}: {made} decisions allowed and denied, the journal proves {proven}")


def main() -> int:
    parser = argparse.ArgumentParser(description="AgentDojo's cases through the real decorator")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="leave agents and journals there")
    keep: Path | None = parser.parse_args().keep

    began = time.monotonic()
    suites = load()
    rows: dict[str, Figures] = {}
    with nullcontext(keep) if keep else tempfile.TemporaryDirectory() as folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        replay = Replay(suites, Authority(os.environ.get("KAKUNIN_CLI", "kakunin"), Path(folder)))
        for tier in TIERS:
            if sys.stderr.isatty():
                print(f"{tier.row} ..", file=sys.stderr)
            rows[tier.row] = replay.row(tier)
    wrong = [line for row, found in rows.items() for line in unexplained(row, found)]

    print(f"AgentDojo {RELEASE}, benchmark {BENCHMARK}: cases in which a captured agent's attack succeeded\n")
    print("\n".join(table(rows)))
    print(f"\n{LIMITS}\n")
    print(replay.summary(time.monotonic() - began))
    for line in wrong:
        print(f"differs without an explanation: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
