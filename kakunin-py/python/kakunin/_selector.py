"""Selectors: which values of a call the guard looks at.

A selector becomes one expression of the generated wrapper when the function is decorated. What cannot be
resolved then is a `TypeError`; what cannot be read later is `UNREADABLE`, which the guard denies and
records.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

logger = logging.getLogger("kakunin")

#: What several names may come in.
CONTAINERS: tuple[Any, ...] = (list, tuple, set, frozenset)

#: A value that is neither an amount nor a name, whatever it is asked as.
UNREADABLE = object()


class Call(Mapping[str, Any]):
    """The arguments of one call by parameter name, defaults included: what a callable selector is given."""

    __slots__ = ("_arguments",)

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._arguments = arguments

    def __getitem__(self, name: str) -> Any:
        return self._arguments[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arguments)

    def __len__(self) -> int:
        return len(self._arguments)

    def __repr__(self) -> str:
        return f"Call({', '.join(self._arguments)})"


class const:
    """A selector that is always this value: `counterparty=const("acme")`."""

    __slots__ = ("value",)

    def __init__(self, value: str | Decimal | Sequence[str] | None) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"const({self.value!r})"


class as_written:
    """An amount that a model wrote as a JSON number of whole units: `amount=as_written("total")`.

    Its shortest decimal text counts. An exponent, NaN, an infinity and more than 15 digits are denied, and
    every receipt says that the amount was read this way.
    """

    __slots__ = ("selector",)

    def __init__(self, selector: str | Callable[[Call], object]) -> None:
        if not isinstance(selector, str) and not callable(selector):
            raise TypeError(f"as_written takes a parameter path or a callable, not {selector!r}")
        self.selector = selector

    def __repr__(self) -> str:
        return f"as_written({self.selector!r})"


_One = str | const | Callable[[Call], object]
Selector = _One | Sequence[_One] | None
AmountSelector = _One | as_written | None


class Resolver:
    """Turns the selectors of one function into expressions over its parameters."""

    def __init__(self, function: str, signature: inspect.Signature, prefix: str) -> None:
        self._function = function
        self._prefix = prefix
        self._parameters = {
            name: parameter
            for name, parameter in signature.parameters.items()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        }
        catch_alls = (
            p.name for p in signature.parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD
        )
        self._catch_all = next(catch_alls, None)
        self._every = ", ".join(f"{name!r}: {name}" for name in signature.parameters)
        #: What the expressions need from outside the function, by name.
        self.values: dict[str, object] = {}

    def expression(self, role: str, selector: object) -> str:
        """The expression for a selector, or a `TypeError` that says what is wrong with it."""
        if selector is None:
            return "None"
        if isinstance(selector, const):
            if role == "amount" and not isinstance(selector.value, (str, Decimal)):
                raise TypeError(f"{self._function}: a constant amount is a decimal string or a Decimal")
            return self._keep(selector.value)
        if isinstance(selector, as_written):
            if role != "amount":
                raise TypeError(f"{self._function}: as_written reads amounts, not `{role}`")
            return self.expression(role, selector.selector)
        if isinstance(selector, str):
            return self._path(role, selector)
        if isinstance(selector, (list, tuple)):
            if role not in ("counterparty", "resource"):
                raise TypeError(f"{self._function}: `{role}` is one value, so its selector is no list")
            if not selector:
                raise TypeError(f"{self._function}: `{role}` is an empty list of selectors; leave it out")
            parts = ", ".join(self.expression(role, part) for part in selector)
            return f"{self._keep(concatenate)}({parts})"
        if callable(selector):
            if inspect.iscoroutinefunction(selector):
                raise TypeError(f"{self._function}: the selector of `{role}` is a coroutine function")
            return f"{self._keep(apply)}({self._keep(selector)}, {{{self._every}}})"
        raise TypeError(
            f"{self._function}: `{role}` takes a parameter path, a callable or const(..), not {selector!r}"
        )

    def _path(self, role: str, path: str) -> str:
        first, *rest = path.split(".")
        if not all([first, *rest]):
            raise TypeError(f"{self._function}: `{role}={path!r}` is no parameter path")
        if first in self._parameters:
            value = first
        elif self._catch_all is not None:
            value = f"{self._catch_all}.get({first!r})"
        else:
            known = ", ".join(self._parameters) or "none"
            raise TypeError(
                f"{self._function} has no parameter `{first}`, which `{role}={path!r}` names;"
                f" it has: {known}."
                f" A value that is not a parameter is written const({path!r})"
            )
        return f"{self._keep(walk)}({value}, {tuple(rest)!r})" if rest else value

    def _keep(self, value: object) -> str:
        for name, known in self.values.items():
            if known is value:
                return name
        name = f"{self._prefix}value{len(self.values)}"
        self.values[name] = value
        return name


def walk(value: object, segments: tuple[str, ...]) -> object:
    """Follows a path into a value: an item of a mapping, an attribute of anything else."""
    try:
        for segment in segments:
            if value is None:
                return None
            value = value.get(segment) if isinstance(value, Mapping) else getattr(value, segment)
    except Exception:
        logger.error("a selector failed at `%s`", ".".join(segments), exc_info=True)
        return UNREADABLE
    return value


def apply(selector: Callable[[Call], object], arguments: dict[str, Any]) -> object:
    """Calls a callable selector; its failure is a value that cannot be read."""
    try:
        return selector(Call(arguments))
    except Exception:
        logger.error("the selector %r failed", selector, exc_info=True)
        return UNREADABLE


def concatenate(*values: object) -> object:
    """The names of several selectors as one list; `None` names none."""
    names: list[object] = []
    given = False
    for value in values:
        if value is None:
            continue
        given = True
        kind = next((kind for kind in CONTAINERS if isinstance(value, kind)), None)
        if kind is None:
            names.append(value)
        else:
            # What it holds, whatever a subclass shows to whoever iterates over it.
            names.extend(kind.__iter__(value))
    return names if given else None
