"""What a protected handler demands: an action, and which values of the request the guard looks at."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .._decorator import CURRENCY
from .._native import Plan
from .._selector import UNREADABLE, as_written, concatenate, const
from ._asked import Asked

if TYPE_CHECKING:
    from .._native import NativeCaller, Running

logger = logging.getLogger("kakunin")

_One = str | const | Callable[[Asked], object]
Selector = _One | Sequence[_One] | None
#: `as_written` of a path: a JSON number of whole units, by its shortest decimal text.
AmountSelector = _One | as_written | None


class Demand:
    """An action with its selectors. What cannot be right is a `TypeError` when it is made."""

    def __init__(
        self,
        action: str,
        *,
        amount: AmountSelector = None,
        amount_minor: Selector = None,
        currency: Selector = None,
        counterparty: Selector = None,
        resource: Selector = None,
    ) -> None:
        if not isinstance(action, str):
            raise TypeError(f'require_agent takes an action such as "payments:send", not {action!r}')
        if amount is not None and amount_minor is not None:
            raise TypeError("amount and amount_minor are two ways to say the same; give one")
        literal: object = currency.value if isinstance(currency, const) else None
        if isinstance(currency, str) and CURRENCY.fullmatch(currency):
            literal = currency
        if literal is not None:
            if not isinstance(literal, str):
                raise TypeError(f"a constant currency is a string, not {literal!r}")
            currency = None
        kind = "decimal"
        if amount_minor is not None:
            kind = "minor"
        elif isinstance(amount, as_written):
            kind = "as_written"
        self.action = action
        self._plan = Plan(action, amount=kind, currency=literal)
        self._values = (
            reader("amount", amount) if amount_minor is None else reader("amount_minor", amount_minor),
            reader("currency", currency),
            reader("counterparty", counterparty),
            reader("resource", resource),
        )

    def check(self, caller: NativeCaller, asked: Asked) -> Running | None:
        """Lets the caller do it, or raises `Refused`: the action from here to its end."""
        if asked.is_doubtful:
            # Whatever the selectors say of it: a parser of the service may find another content in it.
            return caller.check(self._plan, UNREADABLE, None, None, None)
        amount, currency, counterparty, resource = (read(asked) for read in self._values)
        if currency is UNREADABLE and amount is None:
            # Nobody looks at the currency of no amount, and what cannot be read is never absent.
            amount = UNREADABLE
        return caller.check(self._plan, amount, currency, counterparty, resource)

    def __repr__(self) -> str:
        return f"<Demand {self.action}>"


def reader(role: str, selector: object) -> Callable[[Asked], object]:
    """What reads the value of `role` out of a request; a `TypeError` for a selector that is none."""
    if selector is None:
        return _nothing
    if isinstance(selector, const):
        value = selector.value
        if role == "amount" and not isinstance(value, (str, Decimal)):
            raise TypeError("a constant amount is a decimal string or a Decimal")
        return lambda _: value
    if isinstance(selector, as_written):
        if role != "amount":
            raise TypeError(f"as_written reads amounts, not `{role}`")
        return reader(role, selector.selector)
    if isinstance(selector, str):
        return _path(role, selector)
    if isinstance(selector, (list, tuple)):
        if role not in ("counterparty", "resource"):
            raise TypeError(f"`{role}` is one value, so its selector is no list")
        if not selector:
            raise TypeError(f"`{role}` is an empty list of selectors; leave it out")
        parts = [reader(role, part) for part in selector]
        return lambda asked: concatenate(*[part(asked) for part in parts])
    if callable(selector):
        if inspect.iscoroutinefunction(selector):
            raise TypeError(f"the selector of `{role}` is a coroutine function")
        return _called(selector)
    raise TypeError(f"`{role}` takes a path into the JSON body, a callable or const(..), not {selector!r}")


def _nothing(_: Asked) -> None:
    return None


def _path(role: str, path: str) -> Callable[[Asked], object]:
    segments = path.split(".")
    if not all(segments):
        raise TypeError(f"`{role}={path!r}` is no path into a JSON body, such as `order.total`")

    def read(asked: Asked) -> object:
        try:
            value = asked.json
            for segment in segments:
                if value is None:
                    return None
                if not isinstance(value, dict):
                    raise TypeError(f"there is no `{segment}` in a {type(value).__name__}")
                value = value.get(segment)
        except Exception as error:
            # The body is a stranger's: what is wrong with it is no error of ours.
            logger.info("the selector `%s` of `%s` found nothing to read: %s", path, role, error)
            return UNREADABLE
        return value

    return read


def _called(selector: Callable[[Asked], Any]) -> Callable[[Asked], object]:
    def read(asked: Asked) -> object:
        try:
            return selector(asked)
        except Exception:
            logger.error("the selector %r failed", selector, exc_info=True)
            return UNREADABLE

    return read
