"""Denials as exceptions, and what a decision looks like when it is asked for without acting.

The reason table lives in the core; this page gives each group of its codes a class. The native module calls
`denied` and `decision` and nothing else here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

__all__ = [
    "AgentDenied",
    "ApprovalRequired",
    "BudgetDenied",
    "CannotVerify",
    "CertificateDenied",
    "ClockDenied",
    "ConnectError",
    "Decision",
    "InternalDenied",
    "JournalDenied",
    "KakuninError",
    "NotExecuted",
    "NotProven",
    "RequestDenied",
    "RevocationDenied",
    "ScopeDenied",
    "ScopeExceeded",
]

logger = logging.getLogger("kakunin")


class KakuninError(Exception):
    """Anything this package raises on purpose."""


class CannotVerify(KakuninError):
    """Nothing can be judged, because something cannot be read. It says nothing about the receipts."""


class ConnectError(KakuninError):
    """An agent could not be connected to its authority."""

    #: The stable code: `connect.*`, or the authority's own.
    code: str
    #: What the operator can do about it.
    fix: str

    def __init__(self, message: str = "", code: str = "internal", fix: str = "") -> None:
        super().__init__(message, code, fix)
        self.code = code
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.args[0]}; {self.fix} [{self.code}]" if self.fix else f"{self.args[0]} [{self.code}]"


class NotProven(KakuninError):
    """A request could not be signed, and was therefore not sent.

    An agent that may do nothing proves nothing: the code is that of its denial then.
    """

    #: The stable code, for example `certificate.revoked`.
    code: str

    def __init__(self, message: str = "", code: str = "internal") -> None:
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        return f"{self.args[0]} [{self.code}]"


class NotExecuted(KakuninError):
    """Raise it inside a guarded function to say that the action did not happen: what it reserved is released.

    Every other exception leaves the reservation spent, because nobody can know how far the body came.
    It counts for the innermost guarded function that it leaves; for one around that it is an exception like
    others, unless that function raises one of its own. So it is for a generator into which its caller throws
    one, as the block of a context manager does: the action before the block happened.
    """

    #: Whether an action was taken back for it.
    _taken = False


class ScopeDenied(KakuninError, PermissionError):
    """The action was not allowed and did not run.

    `str(error)` is for operators and names limits; `for_model()` is for models and names none.
    """

    #: The stable code, for example `scope.amount`.
    code: str
    #: The action that was asked for.
    action: str
    #: The limit that was in the way, in words.
    limit: str | None
    #: What was asked for, in words.
    actual: str | None
    #: The short name of the journaled decision: the first digits of `receipt`, for `kakunin why`.
    decision_id: str | None
    #: The hash of the decision's receipt; `None` if nothing could be journaled.
    receipt: str | None
    #: What the operator can do about it.
    fix: str

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "internal",
        action: str = "",
        limit: str | None = None,
        actual: str | None = None,
        decision_id: str | None = None,
        receipt: str | None = None,
        fix: str = "",
        model_text: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.action = action
        self.limit = limit
        self.actual = actual
        self.decision_id = decision_id
        self.receipt = receipt
        self.fix = fix
        self._model_text = model_text

    def for_model(self) -> str:
        """The text a model may see: what happened and the code, no limit."""
        return self._model_text or f"denied [{self.code}]"

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {
            "code": self.code,
            "action": self.action,
            "limit": self.limit,
            "actual": self.actual,
            "decision_id": self.decision_id,
            "receipt": self.receipt,
            "fix": self.fix,
            "model_text": self._model_text,
        }
        return (_again, (type(self), str(self), fields))


class AgentDenied(ScopeDenied):
    """No agent is set, or it is not the right one (`agent.*`)."""


class ClockDenied(ScopeDenied):
    """The clock of this machine cannot be trusted (`clock.*`)."""


class CertificateDenied(ScopeDenied):
    """The agent's certificate is expired, suspended, revoked or no good (`certificate.*`)."""


class RevocationDenied(ScopeDenied):
    """The revocation list is missing, too old or wrong (`revocation.*`)."""


class RequestDenied(ScopeDenied):
    """The request cannot be read: a missing or malformed action, amount, currency or name (`request.*`)."""


class ScopeExceeded(ScopeDenied):
    """The certificate does not allow this (`scope.*`)."""


class ApprovalRequired(ScopeDenied):
    """The amount needs an approval (`approval.*`)."""


class BudgetDenied(ScopeDenied):
    """A window or a rate is used up, or unknown (`budget.*`)."""


class JournalDenied(ScopeDenied):
    """The decision cannot be recorded (`journal.*`)."""


class InternalDenied(ScopeDenied):
    """The guard failed in a way it does not know (`internal`)."""


#: The class for each group of codes.
GROUPS: dict[str, type[ScopeDenied]] = {
    "agent": AgentDenied,
    "clock": ClockDenied,
    "certificate": CertificateDenied,
    "revocation": RevocationDenied,
    "request": RequestDenied,
    "scope": ScopeExceeded,
    "approval": ApprovalRequired,
    "budget": BudgetDenied,
    "journal": JournalDenied,
    "internal": InternalDenied,
}


@dataclass(frozen=True)
class Decision:
    """The answer of a dry check: nothing ran, nothing was reserved, nothing was recorded."""

    #: Whether the action would be allowed.
    allowed: bool
    #: The action that was asked about.
    action: str
    #: Why it would be denied.
    code: str | None = None
    #: The limit in the way, in words.
    limit: str | None = None
    #: What was asked for, in words.
    actual: str | None = None
    #: What the operator can do about it.
    fix: str | None = None
    #: The operator's text.
    message: str | None = None

    def __bool__(self) -> bool:
        return self.allowed


def denied(
    group: str,
    code: str,
    message: str,
    model_text: str,
    action: str,
    limit: str | None,
    actual: str | None,
    decision_id: str | None,
    receipt: str | None,
    fix: str,
) -> ScopeDenied:
    """Makes the exception for a denial and logs it once. Called by the native module."""
    error = GROUPS.get(group, ScopeDenied)(
        message,
        code=code,
        action=action,
        limit=limit,
        actual=actual,
        decision_id=decision_id,
        receipt=receipt,
        fix=fix,
        model_text=model_text,
    )
    try:
        # Without any handler the record would go to stderr, where the exception itself already ends up.
        if logger.hasHandlers():
            fields = {"kakunin_code": code, "kakunin_action": action, "kakunin_decision": decision_id}
            logger.warning("%s", message, extra=fields)
    except Exception:
        pass
    return error


def _again(kind: type[ScopeDenied], message: str, fields: dict[str, Any]) -> ScopeDenied:
    return kind(message, **fields)
