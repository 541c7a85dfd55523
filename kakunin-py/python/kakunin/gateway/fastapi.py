"""FastAPI: routes that demand an agent.

app.add_middleware(AgentMiddleware, gateway=gateway)

@app.post("/pay", dependencies=[Depends(require_agent("payments:send", amount="amount", currency="EUR"))])
async def pay(order: Order) -> Paid: ...

The dependency also gives the `Caller`. Those in `dependencies=` of a route, a router or the application run
before the ones that are parameters; the handler runs after all of them, or not at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request

from ._caller import Caller
from ._demand import AmountSelector, Demand, Selector
from ._gateway import Gateway
from .asgi import AgentMiddleware, AsgiExchange
from .starlette import query_of, reader

__all__ = ["AgentMiddleware", "require_agent"]


def require_agent(
    action: str,
    *,
    amount: AmountSelector = None,
    amount_minor: Selector = None,
    currency: Selector = None,
    counterparty: Selector = None,
    resource: Selector = None,
    gateway: Gateway | None = None,
) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency for `Depends`: the caller proved itself and may do this, or the handler does not run.

    A string is a path into the JSON body (`"order.total"`), a `currency` in capitals is that currency, a
    callable is given the request as it was proved (`Asked`). `gateway` says which one the application has
    to be behind, if it says so.
    """
    demand = Demand(
        action,
        amount=amount,
        amount_minor=amount_minor,
        currency=currency,
        counterparty=counterparty,
        resource=resource,
    )

    async def dependency(request: Request) -> Caller:
        exchange = AsgiExchange.of(request.scope, gateway)
        if exchange is None:
            raise RuntimeError(
                f"`{action}` is demanded here and the application is behind no gateway;"
                " fix: app.add_middleware(AgentMiddleware, gateway=gateway)"
            )
        read = reader(exchange, request)
        return await exchange.let_in(demand, request.path_params, request.scope, read, query_of(request))

    return dependency
