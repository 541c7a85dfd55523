"""OpenAI Agents: `@function_tool` above the guard, called by a scripted model."""

from __future__ import annotations

import asyncio
import json

import pytest
from agents import Agent, RunConfig, Runner, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call
from agents.tool_context import ToolContext
from kakunin import ScopeDenied, verify_agent_scope

guard = verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="supplier")

ALLOWED = {"supplier": "acme", "total": "10000.00"}
DENIED = {"supplier": "acme", "total": "10000.01"}
QUIET = RunConfig(tracing_disabled=True)


def tell(context, error):
    """What the model is told about a denial; anything else is raised."""
    if isinstance(error, ScopeDenied):
        return error.for_model()
    raise error


@pytest.fixture(params=["sync", "async"])
def pay(request, acting, body):
    if request.param == "sync":

        @function_tool(failure_error_function=tell)
        @guard
        def pay(supplier: str, total: str) -> str:
            """Pays a supplier."""
            return body()

        return pay

    @function_tool(failure_error_function=tell)
    @guard
    async def pay(supplier: str, total: str) -> str:
        """Pays a supplier."""
        return body()

    return pay


def agent(pay, *arguments):
    asked = [function_call("pay", a, call_id=f"call-{n}") for n, a in enumerate(arguments)]
    model = ScriptedModel([asked, [assistant_message("done")]])
    return Agent(name="billing", model=model, tools=[pay])


def outputs(result):
    return [item.output for item in result.new_items if item.type == "tool_call_output_item"]


async def run(pay, *arguments):
    return await Runner.run(agent(pay, *arguments), "pay", run_config=QUIET)


async def streamed(pay, *arguments):
    result = Runner.run_streamed(agent(pay, *arguments), "pay", run_config=QUIET)
    async for _ in result.stream_events():
        pass
    return result


def test_the_schema_is_the_functions(pay):
    assert set(pay.params_json_schema["properties"]) == {"supplier", "total"}


@pytest.mark.parametrize("door", [run, streamed])
def test_a_run_is_guarded(pay, body, door):
    (told,) = outputs(asyncio.run(door(pay, DENIED)))
    assert "scope.amount" in told
    assert "10000" not in told
    assert body.ran == 0
    assert outputs(asyncio.run(door(pay, ALLOWED))) == ["ran"]
    assert body.ran == 1


def test_a_synchronous_run_is_guarded(pay, body):
    result = Runner.run_sync(agent(pay, DENIED), "pay", run_config=QUIET)
    assert "scope.amount" in outputs(result)[0]
    assert body.ran == 0


def test_parallel_calls_are_each_guarded(pay, body):
    told = outputs(asyncio.run(run(pay, DENIED, ALLOWED, DENIED, ALLOWED)))
    assert [text == "ran" for text in told] == [False, True, False, True]
    assert body.ran == 2


def test_the_tool_called_directly_is_guarded(pay, body):
    async def invoke(arguments):
        text = json.dumps(arguments)
        context = ToolContext(context=None, tool_name="pay", tool_call_id="1", tool_arguments=text)
        return await pay.on_invoke_tool(context, text)

    assert "scope.amount" in asyncio.run(invoke(DENIED))
    assert body.ran == 0
    assert asyncio.run(invoke(ALLOWED)) == "ran"


def test_without_a_handler_of_errors_the_run_ends(acting, body):
    @function_tool(failure_error_function=None)
    @guard
    def pay(supplier: str, total: str) -> str:
        """Pays a supplier."""
        return body()

    with pytest.raises(Exception, match=r"scope\.amount") as raised:
        asyncio.run(run(pay, DENIED))
    errors = [raised.value, raised.value.__cause__]
    assert any(isinstance(error, ScopeDenied) for error in errors)
    assert body.ran == 0


def test_the_default_handler_of_errors_runs_nothing(acting, body):
    @function_tool
    @guard
    def pay(supplier: str, total: str) -> str:
        """Pays a supplier."""
        return body()

    assert outputs(asyncio.run(run(pay, DENIED))) != ["ran"]
    assert body.ran == 0


def test_above_the_tool_decorator_is_refused():
    with pytest.raises(TypeError, match="below the decorator"):

        @guard
        @function_tool
        def pay(supplier: str, total: str) -> str:
            """Pays a supplier."""
            return ""
