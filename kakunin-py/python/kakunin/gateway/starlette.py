"""Starlette: endpoints that demand an agent.

@require_agent("payments:send", amount="amount", currency="EUR", counterparty="iban", gateway=gateway)
async def pay(request): ...

It needs no middleware; below an `AgentMiddleware` of the same gateway it takes part in what that one sees.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ._asked import QueryReader
from ._demand import AmountSelector, Demand, Selector
from ._gateway import Gateway
from ._refused import Refused
from .asgi import KEY, AsgiExchange, Content, Disconnected, answer

Endpoint = Callable[..., Any]


def require_agent(
    action: str,
    *,
    gateway: Gateway,
    amount: AmountSelector = None,
    amount_minor: Selector = None,
    currency: Selector = None,
    counterparty: Selector = None,
    resource: Selector = None,
) -> Callable[[Endpoint], Endpoint]:
    """Lets an endpoint run only for a caller that proved itself and may do this.

    It goes around functions and methods that take a `request`; plain functions run in Starlette's threads.
    A string is a path into the JSON body (`"order.total"`), a `currency` in capitals is that currency, a
    callable is given the request as it was proved (`Asked`). Routes of FastAPI take
    `kakunin.gateway.fastapi.require_agent`, which runs before their parameters are read.
    """
    demand = Demand(
        action,
        amount=amount,
        amount_minor=amount_minor,
        currency=currency,
        counterparty=counterparty,
        resource=resource,
    )
    return functools.partial(_protect, demand, gateway)


def _protect(demand: Demand, gateway: Gateway, endpoint: Endpoint) -> Endpoint:
    parameters = [*inspect.signature(endpoint).parameters]
    if parameters not in (["request"], ["self", "request"]):
        raise TypeError(
            f"{endpoint!r} is no endpoint of Starlette, which takes `request`;"
            " for FastAPI use Depends(kakunin.gateway.fastapi.require_agent(..))"
        )

    @functools.wraps(endpoint)
    async def protected(*args: Any, **kwargs: Any) -> Response:
        request: Request = kwargs["request"] if "request" in kwargs else args[-1]
        exchange, own = AsgiExchange.of(request.scope, gateway), False
        if exchange is None:
            if getattr(request, "_stream_consumed", False) or hasattr(request, "_body"):
                raise RuntimeError("somebody read the body before the gateway; put AgentMiddleware outside")
            exchange, own = AsgiExchange(gateway, request.scope, request.receive, _unsent), True
        try:
            read = None if own else reader(exchange, request)
            await exchange.let_in(demand, request.path_params, request.scope, read, query_of(request))
            if own:
                scope = {**request.scope, KEY: exchange}
                request = Request(scope, exchange.receive, request._send)
                args, kwargs = (*args[:-1], request) if args else args, {"request": request} if kwargs else {}
            response: Response = await (
                endpoint(*args, **kwargs)
                if inspect.iscoroutinefunction(endpoint)
                else run_in_threadpool(endpoint, *args, **kwargs)
            )
        except Refused as refused:
            exchange.conclude(refused)
            if own:
                return Answer(refused, exchange.content)
            raise
        except Disconnected:
            if own:
                return Response(status_code=499)
            raise
        except BaseException as error:
            if own:
                exchange.fail(error)
            raise
        return Watched(response, exchange) if own else response

    return protected


def reader(exchange: AsgiExchange, request: Request) -> Callable[[], Awaitable[bytes]] | None:
    """What reads the body that an endpoint will see; nothing where that is the one which the gateway read."""
    if request.receive == exchange.receive:
        return None

    async def read() -> bytes:
        try:
            return await request.body()
        except RuntimeError:
            raise exchange.gateway.misconfigured(
                "the body was read as a form, behind a middleware that may have changed it; put the gateway"
                " inside of that one"
            ) from None

    return read


def query_of(request: Request) -> QueryReader:
    """How Starlette reads the query that an endpoint will see."""

    def read() -> list[tuple[str, list[str]]]:
        params = request.query_params
        return [(name, params.getlist(name)) for name in params]

    return read


class Answer(Response):
    """A refusal."""

    def __init__(self, refused: Refused, content: Content) -> None:
        super().__init__(refused.problem, refused.status)
        self._refused, self._content = refused, content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(self._refused, send, self._content)


class Watched(Response):
    """A response whose end is that of its request."""

    def __init__(self, inner: Response, exchange: AsgiExchange) -> None:
        super().__init__(status_code=inner.status_code, background=inner.background)
        # One list: what is added to this answer later is sent.
        self.raw_headers = inner.raw_headers
        self._inner, self._exchange = inner, exchange

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self._exchange
        self._inner.status_code, self._inner.background = self.status_code, self.background
        exchange.answers(send)
        try:
            await self._inner(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.fail(error)
            raise
        exchange.over()


async def _unsent(_: Any) -> None:
    raise RuntimeError("nothing is sent before the endpoint answered")
