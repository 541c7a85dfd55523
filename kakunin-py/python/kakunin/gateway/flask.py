"""Flask: views that demand an agent.

@app.post("/pay")
@require_agent("payments:send", amount="amount", currency="EUR", counterparty="iban", gateway=gateway)
def pay(): ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

import flask

from ._demand import AmountSelector, Demand, Selector
from ._gateway import Gateway
from ._refused import Refused
from .wsgi import Watched, WsgiExchange

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
    """Lets a view run only for a caller that proved itself and may do this. It stands below the route.

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
    @functools.wraps(view)
    def protected(*args: Any, **kwargs: Any) -> flask.Response:
        # A context of its own: the thread serves somebody else next.
        return copy_context().run(serve, *args, **kwargs)

    def serve(*args: Any, **kwargs: Any) -> flask.Response:
        request = flask.request
        exchange = WsgiExchange.of(request.environ, gateway)
        own, exchange.watched = not exchange.watched, True
        try:
            if _asks_for(request) != _asks_for(flask.Request(request.environ, populate_request=False)):
                # Views choose what they do by these, and hooks can set them.
                raise exchange.changed()
            exchange.let_in(
                demand,
                dict(request.view_args or {}),
                request.environ,
                body=_read_before(gateway, request),
                read_query=lambda: request.args.lists(),
            )
            response = flask.make_response(flask.current_app.ensure_sync(view)(*args, **kwargs))
        except Refused as refused:
            if own:
                exchange.conclude(refused)
            return flask.Response(refused.problem, refused.status, refused.headers)
        except BaseException as error:
            if own:
                exchange.conclude(error)
            raise
        if not own:
            # Who was there before sees how it ends.
            return response
        if response.is_streamed and request.method != "HEAD" and response.status_code not in (204, 304):
            watched = Watched(response.iter_encoded(), exchange, lambda: response.status_code)
            response.response = watched
        else:
            exchange.conclude(None, response.status_code)
        return response

    return protected


def _asks_for(request: flask.Request) -> tuple[object, ...]:
    return request.method, request.root_path, request.path, request.query_string


def _read_before(gateway: Gateway, request: flask.Request) -> bytes | None:
    """What a hook before the view has read of the body, as the view will see it; `None` if nobody has."""
    seen = vars(request)
    if (cached := seen.get("_cached_data")) is not None:
        return bytes(cached)
    if {"stream", "form"} & seen.keys():
        raise gateway.misconfigured(
            "the body was read before the gateway could look at it; let hooks read it with get_data()"
        )
    return None
