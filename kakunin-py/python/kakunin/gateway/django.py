"""Django: views that demand an agent, under WSGI and ASGI.

@csrf_exempt
@require_agent("payments:send", amount="amount", currency="EUR", counterparty="iban", gateway=gateway)
def pay(request): ...

The proof takes the place of the cookie that CSRF is about. Methods of class-based views take it through
`django.utils.decorators.method_decorator`.
"""

from __future__ import annotations

import asyncio
import functools
import io
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import copy_context
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import RequestDataTooBig  # type: ignore[import-untyped]
from django.core.handlers.asgi import ASGIRequest  # type: ignore[import-untyped]
from django.http import HttpResponse  # type: ignore[import-untyped]
from django.http.request import RawPostDataException  # type: ignore[import-untyped]

from ._demand import AmountSelector, Demand, Selector
from ._exchange import Exchange, Head
from ._gateway import Gateway
from ._refused import Refused
from .asgi import AsgiExchange, head_of
from .wsgi import Watched, WsgiExchange
from .wsgi import head_of as environ_head_of

View = TypeVar("View", bound=Callable[..., Any])


def require_agent(
    action: str,
    *,
    gateway: Gateway,
    amount: AmountSelector = None,
    amount_minor: Selector = None,
    currency: Selector = None,
    counterparty: Selector = None,
    resource: Selector = None,
) -> Callable[[View], View]:
    """Lets a view run, plain or asynchronous, only for a caller that proved itself and may do this.

    A string is a path into the JSON body (`"order.total"`), a `currency` in capitals is that currency, a
    callable is given the request as it was proved (`Asked`).
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


def _protect(demand: Demand, gateway: Gateway, view: Any) -> Any:
    if iscoroutinefunction(view):

        @functools.wraps(view)
        async def asynchronous(request: Any, *args: Any, **kwargs: Any) -> Any:
            served = serve_later(request, *args, **kwargs)
            if getattr(request, "scope", None) is None:
                # A context of its own: Django brings this one back to a thread that serves others next.
                return await asyncio.create_task(served)
            return await served

        async def serve_later(request: Any, *args: Any, **kwargs: Any) -> Any:
            door = Door(gateway, request)
            try:
                if gateway.waits:
                    # The loop goes on while the store of used proofs is asked.
                    await asyncio.to_thread(door.identify, demand)
                door.let_in(demand, kwargs)
                return door.watch(await view(request, *args, **kwargs))
            except BaseException as error:
                return door.refuse(error)

        return asynchronous

    @functools.wraps(view)
    def protected(request: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(request, "scope", None) is None:
            # A context of its own: the thread serves somebody else next.
            return copy_context().run(serve, request, *args, **kwargs)
        return serve(request, *args, **kwargs)

    def serve(request: Any, *args: Any, **kwargs: Any) -> Any:
        door = Door(gateway, request)
        try:
            door.let_in(demand, kwargs)
            return door.watch(view(request, *args, **kwargs))
        except BaseException as error:
            return door.refuse(error)

    return protected


class Door:
    """One request at a view."""

    def __init__(self, gateway: Gateway, request: Any) -> None:
        self._gateway = gateway
        self._request = request
        self._scope: Any = getattr(request, "scope", None)
        if self._scope is None:
            self._exchange: Exchange = WsgiExchange.of(request.environ, gateway)
        else:
            known = AsgiExchange.of(self._scope, gateway) or getattr(request, KEY, None)
            self._exchange = known or Exchange(gateway)
            if self._exchange.gateway is not gateway:
                raise RuntimeError("two gateways are in front of this view; a proof is for one")
            setattr(request, KEY, self._exchange)
        #: Whether nobody else will see how it ends.
        self._own, self._exchange.watched = not self._exchange.watched, True

    def identify(self, demand: Demand) -> None:
        """Finds out who asks, or raises `Refused`."""
        head = self._head()
        self._exchange.refuse_unless_good(head, demand)
        self._exchange.identify(head, self._body())

    def let_in(self, demand: Demand, path_params: Mapping[str, Any]) -> None:
        """Lets the caller do what is demanded, or raises `Refused`."""
        head = self._head()
        # Of whoever proves nothing no body is read, unless Django or middleware has done so.
        self._exchange.refuse_unless_good(head, demand)
        self._exchange.admit(demand, head, self._body(), path_params, lambda: self._request.GET.lists())

    def _head(self) -> Head:
        request, scope = self._request, self._scope
        if scope is None:
            head = self._exchange.head(lambda: environ_head_of(request.environ))
            # Django has written there what it made of them.
            root, below = request.environ["SCRIPT_NAME"], request.environ["PATH_INFO"]
            asked = request.environ["REQUEST_METHOD"], f"{root.rstrip('/')}/{below.removeprefix('/')}", below
        else:
            head = self._exchange.head(lambda: head_of(scope))
            anew = ASGIRequest(scope, io.BytesIO())
            asked = scope["method"], anew.path, anew.path_info
        method, *paths = asked
        if [request.method, request.path, request.path_info] != [method.upper(), *paths]:
            # Routes and views are chosen by these, and middleware can set them.
            raise self._exchange.changed()
        return head

    def refuse(self, error: BaseException) -> Any:
        """The answer to a refusal; anything else is raised again."""
        if self._own:
            self._exchange.conclude(error)
        if not isinstance(error, Refused):
            raise error
        body = error.problem.encode()
        fields = {**dict(error.headers), "content-length": str(len(body))}
        return HttpResponse(body, status=error.status, headers=fields)

    def watch(self, response: Any) -> Any:
        """The view's answer, with an eye on how it ends."""
        if not self._own:
            return response
        if not getattr(response, "streaming", False):
            self._exchange.conclude(None, response.status_code)
        elif response.is_async:
            response.streaming_content = _watched(response, response.streaming_content, self._exchange)
        else:
            parts = Watched(response.streaming_content, self._exchange, lambda: int(response.status_code))
            response.streaming_content = parts
        return response

    def _body(self) -> bytes:
        declared = self._request.META.get("CONTENT_LENGTH") or ""
        if declared and not (declared.isascii() and declared.isdigit()):
            raise self._gateway.malformed("`content-length` is no number, or says two lengths")
        if declared and int(declared[:20]) > self._gateway.max_body:
            raise self._gateway.too_large()
        try:
            body: bytes = self._request.body
        except RequestDataTooBig:
            raise self._gateway.too_large() from None
        except RawPostDataException:
            raise self._gateway.misconfigured(
                "the body was read before the gateway could look at it; let middleware read request.body"
            ) from None
        if len(body) > self._gateway.max_body:
            raise self._gateway.too_large()
        return body


async def _watched(response: Any, parts: AsyncIterator[bytes], exchange: Exchange) -> AsyncIterator[bytes]:
    try:
        async for part in parts:
            yield part
    except BaseException as error:
        exchange.conclude(error)
        raise
    exchange.conclude(None, response.status_code)


#: The attribute of a request that holds its exchange, where the server is ASGI.
KEY = "_kakunin_exchange"
