"""The answer to a request that does not get in."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from ..errors import KakuninError

logger = logging.getLogger("kakunin")


class Refused(KakuninError):
    """A request did not get in, and its handler did not run.

    It is a whole answer: `status`, `headers` and `problem`, which is JSON of RFC 9457. `str(refused)` is for
    operators and may name limits; nothing of the answer does.
    """

    #: 401 without proof or with one that does not hold, 403 for a caller who is known and denied, 413 for a
    #: body over the limit, 503 where nobody could say, with `retry-after`.
    status: int
    #: The stable code, for example `possession.replayed` or `scope.amount`.
    code: str
    #: The body of the answer: JSON with `type`, `title`, `status`, `detail`, `code` and perhaps `decision`.
    problem: str
    #: The fields of the answer, names in lower case; `content-length` is not among them.
    headers: list[tuple[str, str]]

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 503,
        code: str = "internal",
        problem: str = "{}",
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.problem = problem
        self.headers = list(headers)

    @property
    def decision(self) -> str | None:
        """The short name of the journaled decision, for `kakunin why`; nothing where none was journaled."""
        found = json.loads(self.problem).get("decision")
        return found if isinstance(found, str) else None

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {
            "status": self.status,
            "code": self.code,
            "problem": self.problem,
            "headers": self.headers,
        }
        return (_again, (type(self), str(self), fields))


def refused(status: int, code: str, message: str, problem: str, headers: list[tuple[str, str]]) -> Refused:
    """Makes the exception and logs it once. Called by the native module."""
    error = Refused(message, status=status, code=code, problem=problem, headers=headers)
    try:
        # What strangers send is no news; what the service itself lacks is.
        level = logging.ERROR if status == 503 else logging.WARNING if status == 403 else logging.INFO
        if logger.hasHandlers():
            logger.log(level, "%s", message, extra={"kakunin_code": code})
    except Exception:
        pass
    return error


def _again(kind: type[Refused], message: str, fields: dict[str, Any]) -> Refused:
    return kind(message, **fields)
