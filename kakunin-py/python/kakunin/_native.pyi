from contextvars import ContextVar
from os import PathLike
from typing import final

from typing_extensions import disjoint_base

from .errors import Decision

__all__ = [
    "DENIAL_CODES",
    "Judge",
    "ManualClock",
    "NativeAgent",
    "NativeAuthority",
    "Opened",
    "Plan",
    "Running",
    "__version__",
    "context_entered",
    "current",
    "default",
    "open_directory",
    "open_pem",
    "set_context",
    "set_default",
]

DENIAL_CODES: tuple[str, ...]
__version__: str

@final
class Opened: ...

@disjoint_base
class NativeAgent:
    def __new__(cls, opened: Opened) -> NativeAgent: ...
    @property
    def agent_id(self) -> str: ...
    @property
    def mode(self) -> str: ...
    def may_ever(self, action: str) -> bool: ...
    def refresh(self) -> None: ...
    def take_notices(self) -> list[str]: ...
    def replace_lists(self, lists: str) -> None: ...
    def close(self) -> None: ...
    def before_fork(self) -> None: ...
    def after_fork_in_parent(self) -> None: ...
    def after_fork_in_child(self) -> None: ...

@final
class Plan:
    def __new__(
        cls,
        action: str,
        *,
        amount: str = "decimal",
        currency: str | None = None,
        agent: NativeAgent | None = None,
        agent_id: str | None = None,
    ) -> Plan: ...
    def check(
        self, amount: object, currency: object, counterparty: object, resource: object
    ) -> Running | None: ...
    def dry(
        self,
        amount: object,
        currency: object,
        counterparty: object,
        resource: object,
        *,
        at: int | None = None,
    ) -> Decision: ...

@final
class Running:
    def returned(self) -> None: ...
    def raised(self) -> None: ...
    def cancelled(self) -> None: ...
    def not_executed(self) -> None: ...

@final
class ManualClock:
    def __new__(cls, millis: int) -> ManualClock: ...
    def now(self) -> int: ...
    def advance(self, millis: int) -> None: ...
    def set_wall(self, millis: int) -> None: ...
    def sleep(self, millis: int) -> None: ...

@final
class NativeAuthority:
    def __new__(cls, clock: ManualClock | None = None) -> NativeAuthority: ...
    def certify(self, name: str, scope: str, days: int, hours: int, mode: str) -> Opened: ...
    def recertify(self, agent: NativeAgent, name: str, scope: str, days: int) -> None: ...
    def order(self, agent: NativeAgent, order: str, reason: str, hours: int) -> None: ...
    def publish(self, hours: int) -> None: ...
    def lists(self, hours: int) -> str: ...
    def hand_lists(self, agent: NativeAgent, lists: bytes) -> None: ...

@final
class Judge:
    def __new__(
        cls, certificate: str, chain: str, ca: str, lists: str, kept: str | None, names: list[str]
    ) -> Judge: ...
    def answer(
        self,
        plan: Plan,
        amount: object,
        currency: object,
        counterparty: object,
        resource: object,
        at: int,
    ) -> str: ...

def open_directory(
    directory: str | PathLike[str],
    *,
    lists: str | PathLike[str] | None = None,
    state: str | PathLike[str] | None = None,
    mode: str = "enforce",
    clock: ManualClock | None = None,
) -> Opened: ...
def open_pem(
    certificate: str,
    key: str,
    chain: str,
    ca: str,
    lists: str,
    *,
    names: list[str],
    state: str | PathLike[str] | None = None,
    mode: str = "enforce",
) -> Opened: ...
def set_context(variable: ContextVar[object]) -> None: ...
def context_entered() -> None: ...
def set_default(agent: NativeAgent) -> bool: ...
def default() -> NativeAgent | None: ...
def current() -> NativeAgent | None: ...
