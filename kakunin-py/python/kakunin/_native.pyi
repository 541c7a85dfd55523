from collections.abc import Callable
from contextvars import ContextVar
from os import PathLike
from pathlib import Path
from typing import final

from typing_extensions import Self, disjoint_base

from ._status import Status
from .errors import Decision
from .gateway import Refused

__all__ = [
    "DENIAL_CODES",
    "LOOSENING_VARIABLES",
    "Judge",
    "ManualClock",
    "NativeAccount",
    "NativeAgent",
    "NativeAuthority",
    "NativeCaller",
    "NativeClient",
    "NativeGateway",
    "NativeHead",
    "Opened",
    "Place",
    "Plan",
    "Running",
    "__version__",
    "asks_for_less",
    "chain_begun",
    "connect",
    "context_entered",
    "current",
    "default",
    "defers",
    "ignored",
    "json_said",
    "open_directory",
    "open_pem",
    "prove",
    "prove_names",
    "risk_replay",
    "set_chain_context",
    "set_context",
    "set_default",
    "updated_standing",
    "verify_path",
    "written_text",
]

DENIAL_CODES: tuple[str, ...]
LOOSENING_VARIABLES: tuple[str, ...]
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
    def refresh(self) -> bool: ...
    def take_notices(self) -> list[str]: ...
    def replace_lists(self, lists: str) -> None: ...
    def close(self) -> None: ...
    def before_fork(self) -> None: ...
    def after_fork_in_parent(self) -> None: ...
    def after_fork_in_child(self) -> None: ...

@final
class NativeClient:
    @property
    def directory(self) -> Path: ...
    def status(self) -> Status: ...
    def take_alarms(self) -> list[tuple[str, str]]: ...
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
    def unknown(self) -> None: ...
    @property
    def ended(self) -> bool: ...
    @property
    def in_chain(self) -> bool: ...
    def suspend(self) -> None: ...
    def resume(self) -> None: ...

@final
class Place:
    def __new__(cls, chain: bytes, traceparent: str | None = None) -> Place: ...
    @staticmethod
    def of_headers(header: str, traceparent: str | None = None) -> Place: ...
    @staticmethod
    def of_meta(json: str) -> Place: ...
    @property
    def chain(self) -> str: ...
    @property
    def parents(self) -> list[str]: ...
    def headers(self) -> list[tuple[str, str]]: ...
    def meta(self) -> str | None: ...
    def join(self, agent: NativeAgent, receipts: list[str]) -> Place: ...

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

def updated_standing(issuing: bytes, list: bytes, delta: bytes, serial: str) -> str: ...

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

@final
class NativeAccount:
    def record(self, timeline: bool) -> str: ...
    def page(self) -> str: ...
    def keep(self, path: str | PathLike[str]) -> None: ...

@disjoint_base
class NativeGateway:
    def __new__(
        cls,
        agent: NativeAgent,
        *,
        names: list[str],
        max_body: int,
        name_lists: str | PathLike[str] | None,
        tls: bool,
        proxies: list[str],
        proxy_field: str | None,
        serials: str | PathLike[str] | None,
        nonces: Callable[[str, int], bool] | None,
        folder: str | PathLike[str] | None,
    ) -> Self: ...
    @property
    def max_body(self) -> int: ...
    def is_named(self, address: str) -> bool: ...
    def counts(self) -> tuple[int, int, int]: ...
    def prove_head(
        self,
        method: str,
        authority: str | None,
        path: str,
        query: str | None,
        fields: list[tuple[bytes, bytes]],
        *,
        tls: list[bytes],
        proxy: bool,
    ) -> NativeHead: ...
    def malformed(self, detail: str) -> Refused: ...
    def too_large(self) -> Refused: ...
    def misconfigured(self, detail: str) -> Refused: ...
    def failed(self, cause: str) -> Refused: ...

@final
class NativeHead:
    @property
    def is_good(self) -> bool: ...
    def refuse_unless_good(self, action: str) -> None: ...
    def identify(self, body: bytes, chain: bytes) -> NativeCaller: ...

@final
class NativeCaller:
    @property
    def agent_id(self) -> str: ...
    @property
    def certificate_serial(self) -> str: ...
    @property
    def possession(self) -> str: ...
    @property
    def chain(self) -> str: ...
    def check(
        self, plan: Plan, amount: object, currency: object, counterparty: object, resource: object
    ) -> Running | None: ...

def connect(
    urls: list[str],
    agent: str,
    *,
    token: str | None,
    directory: str | PathLike[str],
    state: str | PathLike[str] | None,
    ca_file: str | PathLike[str] | None,
    root: str | None,
    issuer: str | None,
    max_age: int | None,
    without_feed: bool,
    timeout: float,
    mode: str,
    levels: list[tuple[str, str]],
    sealed: bool | None,
) -> tuple[NativeClient, Opened]: ...
def open_directory(
    directory: str | PathLike[str],
    *,
    lists: str | PathLike[str] | None = None,
    state: str | PathLike[str] | None = None,
    mode: str = "enforce",
    levels: list[tuple[str, str]] | None = None,
    sealed: bool | None = None,
    clock: ManualClock | None = None,
) -> Opened: ...
def open_pem(
    certificate: str,
    key: str,
    chain: str,
    ca: str,
    lists: str,
    *,
    issuer: str | None = None,
    names: list[str],
    state: str | PathLike[str] | None = None,
    mode: str = "enforce",
    levels: list[tuple[str, str]] | None = None,
    sealed: bool | None = None,
) -> Opened: ...
def prove(
    agent: NativeAgent | None,
    method: str,
    authority: str,
    path: str,
    query: str | None,
    content: bytes,
    link: str | None,
) -> list[tuple[str, str]]: ...
def json_said(fields: list[tuple[bytes, bytes]]) -> str: ...
def prove_names(
    agent: NativeAgent | None, action: str, counterparties: list[str], resources: list[str]
) -> str | None: ...
def defers(result: object) -> bool: ...
def asks_for_less(name: str, value: str) -> bool: ...
def ignored(name: str, value: str) -> str: ...
def written_text(number: object) -> str | None: ...
def set_chain_context(variable: ContextVar[Place | None]) -> None: ...
def chain_begun() -> None: ...
def set_context(variable: ContextVar[object]) -> None: ...
def context_entered() -> None: ...
def set_default(agent: NativeAgent) -> bool: ...
def default() -> NativeAgent | None: ...
def current() -> NativeAgent | None: ...
def verify_path(
    path: str | PathLike[str],
    *,
    roots: list[tuple[str | None, bytes]],
    log_keys: list[str],
    policies: list[tuple[str | None, bytes]],
    crls: list[tuple[str | None, bytes]],
    logs: list[str | PathLike[str]],
    journals: list[str | PathLike[str]],
    names: list[str] | None,
) -> NativeAccount: ...
def risk_replay(
    path: str | PathLike[str],
    *,
    roots: list[tuple[str | None, bytes]],
    baseline: str,
    policy: str,
    agent: str | None,
) -> str: ...
