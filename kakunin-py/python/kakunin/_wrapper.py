"""The generated wrapper: a function with the guarded function's own signature that makes one native call.

Taking `*args, **kwargs` and binding them costs more than the decision. A wrapper whose source spells the
parameters has them bound by the interpreter, positional, keyword and default alike, so no spelling of a
call slips past a selector.
"""

from __future__ import annotations

import functools
import inspect
import keyword
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from . import _native
from ._outcome import follow, goes_on, settle, steps
from ._selector import Resolver
from .errors import Decision, NotExecuted

if TYPE_CHECKING:
    from ._native import Running

Kind = inspect.Parameter


class Decider(Protocol):
    """What a wrapper asks with the values of a call: amount, currency, counterparty, resource."""

    def check(
        self, amount: object, currency: object, counterparty: object, resource: object
    ) -> Running | None:
        """Admits the call, or raises."""

    def dry(self, amount: object, currency: object, counterparty: object, resource: object) -> Decision:
        """Only says what `check` would do."""
        ...


SYNC = """\
def {make}({outer}):
    def {name}({parameters}):
        {p}pass = {p}check({values})
        if {p}pass is None:
            return {p}body({arguments})
        try:
            {p}result = {p}body({arguments})
        except:
            {p}settle({p}pass)
            raise
        if {p}result is not None and {p}defers({p}result):
            return {p}follow({p}pass, {p}result)
        {p}pass.returned()
        return {p}result
"""

COROUTINE = """\
def {make}({outer}):
    async def {name}({parameters}):
        {p}pass = {p}check({values})
        if {p}pass is None:
            return await {p}body({arguments})
        try:
            {p}result = await {p}body({arguments})
        except:
            {p}settle({p}pass)
            raise
        if {p}result is not None and {p}goes_on({p}result):
            return {p}follow({p}pass, {p}result)
        {p}pass.returned()
        return {p}result
"""

GENERATOR = """\
def {make}({outer}):
    def {name}({parameters}):
        {p}pass = {p}check({values})
        if {p}pass is None:
            return (yield from {p}body({arguments}))
        try:
            {p}result = yield from {p}steps({p}pass, {p}body({arguments}))
        except:
            {p}settle({p}pass)
            raise
        {p}pass.returned()
        return {p}result
"""

# An async generator has no `yield from`: what the caller sends or throws is handed on step by step.
ASYNC_GENERATOR = """\
def {make}({outer}):
    async def {name}({parameters}):
        {p}pass = {p}check({values})
        {p}inner = {p}body({arguments})
        {p}chained = {p}pass is not None and {p}pass.in_chain
        try:
            try:
                {p}item = await {p}inner.__anext__()
                while True:
                    if {p}chained:
                        {p}pass.suspend()
                    try:
                        {p}sent = yield {p}item
                    except {p}exit:
                        if {p}chained:
                            {p}pass.resume()
                        raise
                    except {p}anything as {p}error:
                        if {p}chained:
                            {p}pass.resume()
                        try:
                            {p}item = await {p}inner.athrow({p}error)
                        except {p}not_executed as {p}out:
                            if {p}pass is not None and {p}out is {p}error:
                                {p}pass.raised()
                            raise
                    else:
                        if {p}chained:
                            {p}pass.resume()
                        {p}item = await {p}inner.asend({p}sent)
            except {p}end:
                pass
            finally:
                await {p}inner.aclose()
        except:
            if {p}pass is not None:
                {p}settle({p}pass)
            raise
        if {p}pass is not None:
            {p}pass.returned()
"""

PROBE = """\
    def {p}probe({parameters}):
        return {p}dry({values})
    return {name}, {p}probe
"""


def generate(
    function: Callable[..., Any],
    decider: Decider,
    selectors: dict[str, object],
    *,
    expose_wrapped: bool,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The guarded function, and a function of the same signature that only asks."""
    qualified = getattr(function, "__qualname__", None) or repr(function)
    try:
        signature = inspect.signature(function)
    except ValueError:
        raise TypeError(
            f"{qualified} has no signature that could be guarded; wrap it in a function"
        ) from None

    name = getattr(function, "__name__", "")
    prefix = "kakunin_"
    while any(taken.startswith(prefix) for taken in [name, *signature.parameters]):
        prefix = f"_{prefix}"
    resolver = Resolver(qualified, signature, prefix)
    amount = "amount_minor" if selectors.get("amount_minor") is not None else "amount"
    roles = (amount, "currency", "counterparty", "resource")
    expressions = [resolver.expression(role, selectors.get(role)) for role in roles]

    if not name.isidentifier() or keyword.iskeyword(name) or name in signature.parameters:
        name = f"{prefix}guarded"
    template = _template(function)
    outer = {
        f"{prefix}check": decider.check,
        f"{prefix}dry": decider.dry,
        f"{prefix}body": function,
        f"{prefix}settle": settle,
        f"{prefix}defers": _native.defers,
        f"{prefix}goes_on": goes_on,
        f"{prefix}follow": follow,
        f"{prefix}steps": steps,
        f"{prefix}anything": BaseException,
        f"{prefix}exit": GeneratorExit,
        f"{prefix}end": StopAsyncIteration,
        f"{prefix}not_executed": NotExecuted,
        **resolver.values,
    }
    source = (template + PROBE).format(
        p=prefix,
        make=f"{prefix}make",
        name=name,
        outer=", ".join(outer),
        parameters=_parameters(signature),
        arguments=_arguments(signature),
        values=", ".join(expressions),
    )
    made: dict[str, Any] = {}
    # The function's own globals, so that annotations written as strings resolve where they were written.
    scope = getattr(function, "__globals__", None)
    code = compile(source, f"<guard of {qualified}>", "exec", dont_inherit=True)
    exec(code, {} if scope is None else scope, made)
    wrapper, probe = made[f"{prefix}make"](*outer.values())

    functools.update_wrapper(wrapper, function)
    for generated in (wrapper, probe):
        _set_defaults(generated, signature)
    if not expose_wrapped:
        del wrapper.__wrapped__
        wrapper.__signature__ = signature
    return wrapper, probe


def _template(function: Callable[..., Any]) -> str:
    if inspect.isasyncgenfunction(function):
        return ASYNC_GENERATOR
    if inspect.isgeneratorfunction(function):
        return GENERATOR
    return COROUTINE if inspect.iscoroutinefunction(function) else SYNC


def _parameters(signature: inspect.Signature) -> str:
    """The parameters as source. Defaults are placeholders here: the real objects are set afterwards."""
    parts: list[str] = []
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    for index, parameter in enumerate(signature.parameters.values()):
        if parameter.kind is Kind.KEYWORD_ONLY and not {Kind.VAR_POSITIONAL, Kind.KEYWORD_ONLY} & {
            *kinds[:index]
        }:
            parts.append("*")
        stars = STARS.get(parameter.kind, "")
        default = "" if parameter.default is Kind.empty else "=None"
        parts.append(f"{stars}{parameter.name}{default}")
        if parameter.kind is Kind.POSITIONAL_ONLY and kinds[index + 1 : index + 2] != [Kind.POSITIONAL_ONLY]:
            parts.append("/")
    return ", ".join(parts)


def _arguments(signature: inspect.Signature) -> str:
    """The same parameters handed on."""
    return ", ".join(FORMS.get(p.kind, "{0}").format(p.name) for p in signature.parameters.values())


def _set_defaults(function: Any, signature: inspect.Signature) -> None:
    given = [p for p in signature.parameters.values() if p.default is not Kind.empty]
    function.__defaults__ = tuple(p.default for p in given if p.kind is not Kind.KEYWORD_ONLY) or None
    function.__kwdefaults__ = {p.name: p.default for p in given if p.kind is Kind.KEYWORD_ONLY} or None


#: How a parameter is spelled, and how its argument is handed on.
STARS: dict[object, str] = {Kind.VAR_POSITIONAL: "*", Kind.VAR_KEYWORD: "**"}
FORMS: dict[object, str] = {
    Kind.VAR_POSITIONAL: "*{0}",
    Kind.KEYWORD_ONLY: "{0}={0}",
    Kind.VAR_KEYWORD: "**{0}",
}
