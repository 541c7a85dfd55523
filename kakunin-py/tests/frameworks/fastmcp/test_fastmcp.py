"""FastMCP: `@server.tool` above the guard, called by a client in the same process."""

from __future__ import annotations

import asyncio

import pytest
from fastmcp import Client, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.middleware import Middleware
from kakunin import ScopeDenied, verify_agent_scope

guard = verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="supplier")

ALLOWED = {"supplier": "acme", "total": "10000.00"}
DENIED = {"supplier": "acme", "total": "10000.01"}


class Tell(Middleware):
    """Hands the model's text of a denial to the client."""

    async def on_call_tool(self, context, call_next):
        try:
            return await call_next(context)
        except Exception as error:
            denied = error if isinstance(error, ScopeDenied) else error.__cause__
            if isinstance(denied, ScopeDenied):
                raise ToolError(denied.for_model()) from None
            raise


@pytest.fixture(params=["sync", "async"])
def server(request, acting, body):
    server = FastMCP("billing", middleware=[Tell()])
    if request.param == "sync":

        @server.tool
        @guard
        def pay(supplier: str, total: str) -> str:
            """Pays a supplier."""
            return body()

    else:

        @server.tool
        @guard
        async def pay(supplier: str, total: str) -> str:
            """Pays a supplier."""
            return body()

    return server


def test_the_schema_is_the_functions(server):
    async def properties():
        async with Client(server) as client:
            (tool,) = await client.list_tools()
            return set(tool.input_schema["properties"])

    assert asyncio.run(properties()) == {"supplier", "total"}


def test_a_client_is_guarded_and_told_no_limit(server, body):
    async def call(arguments):
        async with Client(server) as client:
            return await client.call_tool("pay", arguments)

    with pytest.raises(ToolError, match=r"scope\.amount") as told:
        asyncio.run(call(DENIED))
    assert "10000" not in str(told.value)
    assert body.ran == 0
    assert asyncio.run(call(ALLOWED)).data == "ran"


def test_parallel_calls_are_each_guarded(server, body):
    async def call():
        async with Client(server) as client:
            asked = [client.call_tool("pay", a, raise_on_error=False) for a in [DENIED, ALLOWED] * 8]
            return await asyncio.gather(*asked)

    assert [answer.is_error for answer in asyncio.run(call())] == [True, False] * 8
    assert body.ran == 8


def test_the_servers_own_doors_are_guarded(server, body):
    async def through_server(arguments):
        return await server.call_tool("pay", arguments)

    async def through_tool(arguments):
        return await (await server.get_tool("pay")).run(arguments)

    async def through_function(arguments):
        result = (await server.get_tool("pay")).fn(**arguments)
        return await result if asyncio.iscoroutine(result) else result

    for door in (through_server, through_tool, through_function):
        with pytest.raises(Exception, match=r"scope\.amount|pay"):
            asyncio.run(door(DENIED))
        assert body.ran == 0
        asyncio.run(door(ALLOWED))
        assert body.ran == 1
        body.ran = 0


def test_above_the_tool_decorator_is_refused(acting, body):
    # Here the server has the unguarded function already; a guard above it would be an ornament.
    server = FastMCP("billing")
    with pytest.raises(TypeError, match="below the decorator"):

        @guard
        @server.tool
        def pay(supplier: str, total: str) -> str:
            """Pays a supplier."""
            return body()
