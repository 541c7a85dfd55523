"""LangChain: a tool has many doors, and the guard is behind every one of them."""

from __future__ import annotations

import asyncio

import pytest
from kakunin import ScopeDenied, verify_agent_scope
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import StructuredTool, tool

guard = verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="supplier")

ALLOWED = {"supplier": "acme", "total": "10000.00"}
DENIED = [
    {"supplier": "acme", "total": "10000.01"},
    {"supplier": "stranger", "total": "1.00"},
    {"supplier": "acme", "total": "1e9"},
]


@pytest.fixture
def pay(acting, body):
    @tool
    @guard
    def pay(supplier: str, total: str) -> str:
        """Pays a supplier."""
        return body()

    return pay


@pytest.fixture
def pay_async(acting, body):
    @tool
    @guard
    async def pay(supplier: str, total: str) -> str:
        """Pays a supplier."""
        return body()

    return pay


async def last(stream):
    return [item async for item in stream][-1]


SYNC = {
    "invoke": lambda t, a: t.invoke(a),
    "run": lambda t, a: t.run(a),
    "_run": lambda t, a: t._run(**a, config={}),
    "func": lambda t, a: t.func(**a),
    "func by position": lambda t, a: t.func(*a.values()),
    "batch": lambda t, a: t.batch([a])[0],
    "batch_as_completed": lambda t, a: next(iter(t.batch_as_completed([a])))[1],
    "stream": lambda t, a: list(t.stream(a))[-1],
    "with_retry": lambda t, a: t.with_retry(stop_after_attempt=2, wait_exponential_jitter=False).invoke(a),
    "with_config": lambda t, a: t.with_config(tags=["x"]).invoke(a),
    "parallel": lambda t, a: RunnableParallel(one=t, two=t).invoke(a)["one"],
    "chain": lambda t, a: (RunnableLambda(lambda x: x) | t).invoke(a),
    "tool call": lambda t, a: t.invoke({"type": "tool_call", "id": "1", "name": "pay", "args": a}).content,
}
ASYNC = {
    "ainvoke": lambda t, a: t.ainvoke(a),
    "arun": lambda t, a: t.arun(a),
    "_arun": lambda t, a: t._arun(**a, config={}),
    "abatch": lambda t, a: t.abatch([a]),
    "astream": lambda t, a: last(t.astream(a)),
    "awith_retry": lambda t, a: t.with_retry(stop_after_attempt=2, wait_exponential_jitter=False).ainvoke(a),
}


def test_the_schema_is_the_functions(pay):
    assert set(pay.args) == {"supplier", "total"}
    assert pay.description == "Pays a supplier."


@pytest.mark.parametrize("door", SYNC)
def test_synchronous_doors_are_guarded(pay, body, door):
    for arguments in DENIED:
        with pytest.raises(ScopeDenied):
            SYNC[door](pay, arguments)
    assert body.ran == 0
    assert SYNC[door](pay, ALLOWED) == "ran"
    assert body.ran in (1, 2)


@pytest.mark.parametrize("door", ASYNC)
@pytest.mark.parametrize("kind", ["pay", "pay_async"])
def test_asynchronous_doors_are_guarded(request, body, kind, door):
    chosen = request.getfixturevalue(kind)

    async def go(arguments):
        return await ASYNC[door](chosen, arguments)

    for arguments in DENIED:
        with pytest.raises(ScopeDenied):
            asyncio.run(go(arguments))
    assert body.ran == 0
    assert asyncio.run(go(ALLOWED)) in ("ran", ["ran"])
    assert body.ran == 1


def test_a_tool_made_of_both_kinds_is_guarded(acting, body):
    @guard
    def pay(supplier: str, total: str) -> str:
        """Pays."""
        return body()

    @guard
    async def pay_async(supplier: str, total: str) -> str:
        """Pays."""
        return body()

    both = StructuredTool.from_function(func=pay, coroutine=pay_async)
    with pytest.raises(ScopeDenied):
        both.invoke(DENIED[0])
    with pytest.raises(ScopeDenied):
        asyncio.run(both.ainvoke(DENIED[0]))
    assert body.ran == 0


def test_above_the_tool_decorator_is_refused():
    with pytest.raises(TypeError, match="below the decorator"):

        @guard
        @tool
        def pay(supplier: str, total: str) -> str:
            """Pays."""
            return ""


class Model(GenericFakeChatModel):
    def bind_tools(self, tools, **kwargs):
        return self


def calls(*arguments):
    each = [{"name": "pay", "args": a, "id": str(n), "type": "tool_call"} for n, a in enumerate(arguments)]
    return AIMessage(content="", tool_calls=each)


@pytest.mark.parametrize("parallel", [1, 4])
def test_an_agent_that_calls_the_tool_is_guarded(pay, body, parallel):
    ask = {"messages": [HumanMessage("pay")]}

    def agent(arguments):
        script = iter([calls(*[arguments] * parallel), AIMessage(content="done")])
        return create_agent(Model(messages=script), [pay])

    with pytest.raises(ScopeDenied):
        agent(DENIED[0]).invoke(ask)
    with pytest.raises(ScopeDenied):
        asyncio.run(agent(DENIED[0]).ainvoke(ask))
    with pytest.raises(ScopeDenied):
        list(agent(DENIED[0]).stream(ask))
    assert body.ran == 0
    assert agent(ALLOWED).invoke(ask)["messages"][-1].content == "done"
    assert body.ran == parallel


def test_an_error_handler_gets_the_models_text(pay, body):
    from langchain.agents.middleware import AgentMiddleware
    from langchain_core.messages import ToolMessage

    class Tell(AgentMiddleware):
        def wrap_tool_call(self, request, handler):
            try:
                return handler(request)
            except ScopeDenied as denied:
                return ToolMessage(denied.for_model(), tool_call_id=request.tool_call["id"], status="error")

    script = iter([calls(DENIED[0]), AIMessage(content="done")])
    agent = create_agent(Model(messages=script), [pay], middleware=[Tell()])
    told = agent.invoke({"messages": [HumanMessage("pay")]})["messages"][-2]
    assert told.status == "error"
    assert "scope.amount" in told.content
    assert "10000" not in told.content
    assert body.ran == 0
