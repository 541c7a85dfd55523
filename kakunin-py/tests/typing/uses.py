"""Typed uses that mypy --strict and pyright accept; what they must refuse is marked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import kakunin
import requests
from kakunin import (
    Agent,
    CannotVerify,
    ConnectError,
    Decision,
    Journal,
    Level,
    NotProven,
    ScopeDenied,
    Status,
    Trouble,
    Verdict,
    Verification,
    agent_context,
    as_written,
    const,
    guarded,
    verify_agent_scope,
)
from kakunin.gateway import Asked, Caller, Gateway, Refused, asgi, caller, wsgi
from kakunin.gateway import django as with_django
from kakunin.gateway import fastapi as with_fastapi
from kakunin.gateway import flask as with_flask
from kakunin.gateway import starlette as with_starlette
from kakunin.httpx import AgentAuth
from kakunin.requests import AgentAuth as RequestsAuth
from kakunin.testing import FakeClock, MemoryAuthority, assert_denied, no_agent, open_agent


@verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty=["supplier", "via"])
def pay(supplier: str, total: Decimal, *, via: str | None = None) -> int:
    return len(supplier)


@verify_agent_scope(
    "payments:send", amount=as_written("total"), currency=const("EUR"), counterparty=const(["acme"])
)
async def pay_later(total: float) -> str:
    return str(total)


@verify_agent_scope("read:x", resource=lambda call: call["path"])
def lines(path: str) -> Iterator[str]:
    yield path


@verify_agent_scope("read:x")
async def chunks(path: str) -> AsyncIterator[bytes]:
    yield path.encode()


class Desk:
    @verify_agent_scope("payments:send", amount_minor="cents", currency="EUR", counterparty="self.party")
    def method(self, cents: int) -> bool:
        return bool(cents)

    @classmethod
    @verify_agent_scope("read:x")
    def above(cls, name: str) -> Desk:
        return cls()

    @verify_agent_scope("read:x")
    @staticmethod
    def below(name: str) -> bytes:
        return name.encode()

    @property
    @verify_agent_scope("read:x")
    def balance(self) -> Decimal:
        return Decimal(0)


@verify_agent_scope(object(), agent_id="x", required_scopes=["read:x"])
def hosted(a: int) -> int:
    return a


result: int = pay("acme", Decimal(1), via="globex")
same: Callable[..., int] = pay
waiting: Coroutine[Any, Any, str] | Awaitable[str] = pay_later(1.0)
first: Iterator[str] = lines("a")
chunk: AsyncIterator[bytes] = chunks("a")
done: bool = Desk().method(5)
desk: Desk = Desk.above("a")
code: bytes = Desk.below("a")
balance: Decimal = Desk().balance
number: int = hosted(5)

pay("acme")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
pay(5, Decimal(1))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
pay("acme", Decimal(1), to="x")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
Desk().method("5")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
verify_agent_scope("read:x", amuont="total")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
verify_agent_scope("read:x", amount=5)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]


def operate(agent: Agent) -> None:
    kakunin.use(agent)
    with agent_context(agent) as same_agent:
        same_agent.refresh()
    decision: Decision = agent.guard.check(
        "payments:send", amount="1.00", currency="EUR", counterparty=["acme"]
    )
    decision = guarded(pay).check("acme", Decimal(1))
    if not decision:
        print(decision.code, decision.fix)
    try:
        pay("acme", Decimal(1))
    except ScopeDenied as denied:
        text: str = denied.for_model()
        limit: str | None = denied.limit
        print(text, limit, denied.code.upper(), denied.receipt)


def hand_on(agent: Agent, asked: Mapping[str, str]) -> dict[str, str]:
    with kakunin.chain.picked_up(asked) as chain, kakunin.chain(traceparent=None):
        name: str = kakunin.chain.join("0" * 64, asked, agent=agent)
        meta: dict[str, Any] = kakunin.chain_meta()
        print(chain.id, name, meta)
    return kakunin.chain_headers()


def test() -> None:
    clock = FakeClock()
    authority = MemoryAuthority(clock=clock)
    agent = authority.issue({"actions": ["read:*"]}, days=1)
    with agent_context(agent), assert_denied("scope.action") as denied, no_agent():
        pay("acme", Decimal(1))
    print(denied.value.code, open_agent("x", clock=clock))


def stranger(bundle: Path) -> tuple[Verdict, list[str]]:
    """A verdict is compared, and its parts have types."""
    try:
        found: Verification = kakunin.verify(
            bundle, roots=["a.pem", b"-----BEGIN"], log_keys="key", witness_policy=None, replay=True
        )
    except CannotVerify:
        return "EMPTY", []
    if found.verdict == "COMPLETE" or found.complete:
        receipts: int = found.counts.receipts
        index: int | None = found.problems[0].index
        page: str = found.html()
        print(receipts, index, found.to_dict(timeline=True), page)
    kakunin.verify(bundle, roots=[1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    kakunin.verify(bundle)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return found.verdict, [step.what for step in found.timeline]


def kept(level: Level) -> Agent:
    Agent.from_dir("x", journal=Journal({"payments:*": level}, sealed=True))
    Agent.from_dir("x", journal={"payments:*": "fsync"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    Journal(level={})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return Agent.from_dir("x", journal={"payments:*": "sync"})


async def connected(place: Path) -> Status | None:
    try:
        agent = Agent.connect("https://authority.example", "billing", token="t", directory=place, max_age=30)
        kakunin.use(await Agent.connect_async(["http://127.0.0.1:1"], journal={"read:*": "sync"}))
    except ConnectError as refused:
        print(refused.code.upper(), refused.fix)
        return None
    status = agent.status()
    age: timedelta | None = status.age
    until: datetime | None = status.certificate_until
    trouble: Trouble | None = status.last_error
    print(age, until, trouble and trouble.code, status.transport == "stream", status.fresh)
    status.epoch = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    Agent.connect(timeout="10")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return status


def asked(agent: Agent) -> int | str:
    try:
        httpx.Client(auth=AgentAuth(agent)).post("https://shop.example", json={})
        httpx.AsyncClient(auth=AgentAuth())
        AgentAuth("agent")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        return requests.post("https://shop.example", auth=RequestsAuth(agent)).status_code
    except NotProven as refused:
        return refused.code


def party(asked: Asked) -> object:
    return asked.params["to"], asked.caller.agent_id, asked.path_params.get("id"), asked.json


def protected(agent: Agent, app: asgi.App, other: wsgi.App) -> Refused:
    gateway = Gateway(
        agent, names=["shop.example"], trusted_proxies=("10.0.0.0/8",), proxy_field="client-cert"
    )
    asgi.RequireAgent(
        app, gateway, "payments:send", amount=as_written("amount"), counterparty=["iban", party]
    )
    wsgi.RequireAgent(other, gateway, "payments:send", amount_minor="cents", currency=const("EUR"))
    Gateway(agent)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    asgi.RequireAgent(app, gateway, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    identified, unproven, _ = gateway.counts()
    who: Callable[..., Awaitable[Caller]] = with_fastapi.require_agent("reports:read", resource=party)
    print(identified + unproven, who, gateway.agent.agent_id, caller().chain)

    @with_flask.require_agent("reports:read", gateway=gateway)
    def view(name: str) -> str:
        return name

    @with_django.require_agent("reports:read", gateway=gateway)
    def page(request: object) -> int:
        return 1

    @with_starlette.require_agent("reports:read", gateway=gateway)
    async def endpoint(request: object) -> object:
        return request

    view(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    print(view("x").upper(), page(1) + 1, endpoint)
    refused = Refused("no")
    print(refused.status + 1, refused.code.upper(), refused.decision, refused.headers[0][0])
    return refused
