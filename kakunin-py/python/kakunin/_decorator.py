"""`verify_agent_scope`: puts the guard in front of a function."""

from __future__ import annotations

import functools
import inspect
import logging
import re
import types
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from ._agent import Agent
from ._current import default_agent
from ._native import Plan
from ._selector import AmountSelector, Selector, as_written, const
from ._wrapper import Decider, generate
from .errors import Decision

if TYPE_CHECKING:
    from ._native import Running

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

logger = logging.getLogger("kakunin")

#: A `currency` of this form is the currency itself; anything else is a parameter path.
CURRENCY = re.compile(r"[A-Z][A-Z0-9]{2,11}")

#: What can be guarded directly. Other callables have doors of their own that a wrapper would not cover.
FUNCTIONS = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    functools.partial,
    type(functools.lru_cache(lambda: None)),
)


class Guarded:
    """What a guarded function demands, and a way to ask without calling it. Found as `function.guarded`."""

    def __init__(
        self,
        function: Callable[..., Any],
        actions: tuple[str, ...],
        selectors: dict[str, object],
        agent: Agent | None,
    ) -> None:
        code = getattr(inspect.unwrap(function), "__code__", None)
        #: The function, as `module.name`.
        self.function = f"{function_module(function)}.{getattr(function, '__qualname__', function)}"
        #: Where it was written.
        self.file: str = code.co_filename if code else "<unknown>"
        #: The line of its first decorator.
        self.line: int = code.co_firstlineno if code else 0
        #: The actions that it needs, all of them.
        self.actions = actions
        #: The selectors by role.
        self.selectors = {role: selector for role, selector in selectors.items() if selector is not None}
        #: The agent it was decorated with, if any.
        self.agent = agent
        self._probe: Callable[..., Any] = function

    @property
    def action(self) -> str:
        """The action; the first one, if there are several."""
        return self.actions[0]

    def check(self, *args: Any, **kwargs: Any) -> Decision:
        """The decision about a call with these arguments, without the call, a receipt or a reservation."""
        decision: Decision = self._probe(*args, **kwargs)
        return decision

    def warn_if_never_allowed(self, agent: Agent) -> None:
        """Logs each action that no call can be allowed to do, with file and line."""
        for action in self.actions:
            if not agent.may_ever(action):
                logger.warning(
                    "%s:%d: %s can never be called: agent %s is not allowed %s",
                    self.file, self.line, self.function, agent.agent_id, action[:128],
                )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Guarded {self.function} by {', '.join(self.actions)}>"


class Several:
    """Several actions for one call: all must be allowed, else what was admitted is taken back."""

    def __init__(self, plans: list[Plan]) -> None:
        self._plans = plans

    def check(
        self, amount: object, currency: object, counterparty: object, resource: object
    ) -> Running | None:
        admitted: list[Running] = []
        try:
            for plan in self._plans:
                if (running := plan.check(amount, currency, counterparty, resource)) is not None:
                    admitted.append(running)
        except BaseException:
            for running in reversed(admitted):
                running.not_executed()
            raise
        return Together(admitted) if admitted else None  # type: ignore[return-value]

    def dry(self, amount: object, currency: object, counterparty: object, resource: object) -> Decision:
        decisions = [plan.dry(amount, currency, counterparty, resource) for plan in self._plans]
        return next((decision for decision in decisions if not decision.allowed), decisions[0])


class Together:
    """Running actions that end together, the last one first: in a chain each follows from the one before."""

    def __init__(self, admitted: list[Running]) -> None:
        self._admitted = admitted
        self.in_chain = any(running.in_chain for running in admitted)

    @property
    def ended(self) -> bool:
        return all(running.ended for running in self._admitted)

    def resume(self) -> None:
        for running in self._admitted:
            running.resume()

    def __getattr__(self, word: str) -> Callable[[], None]:
        words = [getattr(running, word) for running in reversed(self._admitted)]

        def say() -> None:
            for one in words:
                one()

        return say


class Decorator(Protocol):
    """What `verify_agent_scope(..)` returns: it gives back what it is given, guarded."""

    @overload
    def __call__(self, function: staticmethod[P, R], /) -> staticmethod[P, R]: ...
    @overload
    def __call__(self, function: classmethod[T, P, R], /) -> classmethod[T, P, R]: ...
    @overload
    def __call__(self, function: property, /) -> property: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def verify_agent_scope(
    action: str,
    /,
    *,
    amount: AmountSelector = None,
    amount_minor: Selector = None,
    currency: Selector = None,
    counterparty: Selector = None,
    resource: Selector = None,
    agent: Agent | None = None,
    agent_id: str | None = None,
    expose_wrapped: bool = True,
) -> Decorator: ...
@overload
def verify_agent_scope(
    client: object,
    /,
    agent_id: str,
    *,
    required_scopes: Sequence[str],
    agent: Agent | None = None,
    expose_wrapped: bool = True,
) -> Decorator: ...


def verify_agent_scope(
    action: object,
    /,
    agent_id: str | None = None,
    *,
    amount: AmountSelector = None,
    amount_minor: Selector = None,
    currency: Selector = None,
    counterparty: Selector = None,
    resource: Selector = None,
    agent: Agent | None = None,
    expose_wrapped: bool = True,
    required_scopes: Sequence[str] | None = None,
) -> Any:
    """Lets a function run only as far as the agent's certificate allows.

    Selectors say which values the guard looks at: the path of a parameter (`"total"`, `"order.total"`), a
    list of paths for names, a callable over the bound call, `const(..)`, and `as_written(..)` for amounts
    that are JSON numbers. A `currency` in capitals is a literal.

    `agent` fixes the agent; else `agent_context` decides, else `use`. With `agent_id` any other agent is
    denied.

    The form `verify_agent_scope(client, agent_id=.., required_scopes=[..])` is that of the hosted service's
    client. The client is not asked anything: the local agent must have this id, and its certificate must
    allow every scope.
    """
    if required_scopes is not None:
        if isinstance(action, str) or isinstance(required_scopes, str) or not required_scopes:
            raise TypeError("required_scopes is a non-empty list and follows a client; an action needs none")
        if agent_id is None:
            raise TypeError("required_scopes needs the agent_id it is about")
        actions = tuple(required_scopes)
    elif isinstance(action, str):
        actions = (action,)
    else:
        raise TypeError(
            f'verify_agent_scope takes an action such as "payments:send", not {action!r}'
            "; is the decorator missing its parentheses?"
        )
    if not all(isinstance(one, str) for one in actions):
        raise TypeError("every required scope is a string")
    if amount is not None and amount_minor is not None:
        raise TypeError("amount and amount_minor are two ways to say the same; give one")
    if agent is not None and not isinstance(agent, Agent):
        raise TypeError(f"agent is a kakunin.Agent, not {agent!r}")
    selectors: dict[str, object] = {
        "amount": amount,
        "amount_minor": amount_minor,
        "currency": currency,
        "counterparty": counterparty,
        "resource": resource,
    }
    return functools.partial(_guard, actions, selectors, agent, agent_id, expose_wrapped)


def guarded(function: Callable[..., Any]) -> Guarded:
    """What a guarded function demands; a `TypeError` if it is not guarded."""
    found = getattr(function, "guarded", None)
    if not isinstance(found, Guarded):
        raise TypeError(f"{function!r} is not guarded by verify_agent_scope")
    return found


def warn_of_never_allowed(agent: Agent) -> None:
    """Compares every guarded function that takes the default agent with what `agent` may ever do."""
    for each in sorted(_guarded, key=lambda each: (each.file, each.line)):
        if each.agent is None:
            each.warn_if_never_allowed(agent)


def _guard(
    actions: tuple[str, ...],
    selectors: dict[str, object],
    agent: Agent | None,
    agent_id: str | None,
    expose_wrapped: bool,
    target: Any,
) -> Any:
    again = functools.partial(_guard, actions, selectors, agent, agent_id, expose_wrapped)
    if isinstance(target, (staticmethod, classmethod)):
        return type(target)(again(target.__func__))
    if isinstance(target, property):
        if target.fget is None or target.fset is not None or target.fdel is not None:
            raise TypeError("guard the getter, setter and deleter as functions, then make them a property")
        return property(again(target.fget), doc=target.__doc__)
    if isinstance(target, type):
        raise TypeError(f"`{target.__name__}` is a class; guard the methods that act")
    if not isinstance(target, FUNCTIONS) or hasattr(target, "__fastmcp__"):
        raise TypeError(
            f"a {type(target).__name__} cannot be guarded: it can be run in ways a wrapper does not see;"
            " put verify_agent_scope below the decorator that made it, or guard its method"
        )

    selectors = dict(selectors)
    literal = selectors["currency"]
    if isinstance(literal, const):
        literal = literal.value
    elif not (isinstance(literal, str) and CURRENCY.fullmatch(literal)):
        literal = None
    if literal is not None:
        if not isinstance(literal, str):
            raise TypeError(f"a constant currency is a string, not {literal!r}")
        selectors["currency"] = None
    kind = "decimal"
    if selectors["amount_minor"] is not None:
        kind = "minor"
    elif isinstance(selectors["amount"], as_written):
        kind = "as_written"
    plans = [
        Plan(action, amount=kind, currency=literal, agent=agent, agent_id=agent_id) for action in actions
    ]
    decider: Decider = plans[0] if len(plans) == 1 else Several(plans)
    wrapper, probe = generate(target, decider, selectors, expose_wrapped=expose_wrapped)

    shown = {**selectors, "currency": literal or selectors["currency"]}
    demands = Guarded(target, actions, shown, agent)
    demands._probe = probe
    wrapper.guarded = demands  # type: ignore[attr-defined]
    _guarded.add(demands)
    if (effective := agent or default_agent()) is not None:
        demands.warn_if_never_allowed(effective)
    return wrapper


def function_module(function: Callable[..., Any]) -> str:
    return getattr(function, "__module__", None) or "<unknown>"


_guarded: weakref.WeakSet[Guarded] = weakref.WeakSet()
