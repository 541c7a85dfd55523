"""An identity, a leash and a paper trail for AI agents.

@verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="supplier")
def pay(supplier: str, total: Decimal) -> None: ...

kakunin.use(Agent.from_dir("agents/billing"))
"""

from __future__ import annotations

from importlib import metadata as _metadata

try:
    _metadata.distribution("kakunin")
except _metadata.PackageNotFoundError:
    pass
else:
    raise ImportError(
        "the distribution `kakunin` is installed beside `kakunin-py`, and both bring the package `kakunin`;"
        " fix: pip uninstall kakunin && pip install --force-reinstall kakunin-py"
    )

from . import risk
from ._agent import Agent
from ._chain import chain, chain_headers, chain_meta
from ._current import agent_context, current_agent, use
from ._decorator import Guarded, guarded, verify_agent_scope
from ._guard import Guard
from ._journal import Journal, Level
from ._native import DENIAL_CODES, __version__
from ._selector import Call, as_written, const
from ._status import Status, Trouble
from ._verify import Problem, Verdict, Verification, verify
from .errors import (
    AgentDenied,
    ApprovalRequired,
    BudgetDenied,
    CannotVerify,
    CertificateDenied,
    ClockDenied,
    ConnectError,
    Decision,
    InternalDenied,
    JournalDenied,
    KakuninError,
    NotExecuted,
    NotProven,
    RequestDenied,
    RevocationDenied,
    ScopeDenied,
    ScopeExceeded,
)

__all__ = [
    "DENIAL_CODES",
    "Agent",
    "AgentDenied",
    "ApprovalRequired",
    "BudgetDenied",
    "Call",
    "CannotVerify",
    "CertificateDenied",
    "ClockDenied",
    "ConnectError",
    "Decision",
    "Guard",
    "Guarded",
    "InternalDenied",
    "Journal",
    "JournalDenied",
    "KakuninError",
    "Level",
    "NotExecuted",
    "NotProven",
    "Problem",
    "RequestDenied",
    "RevocationDenied",
    "ScopeDenied",
    "ScopeExceeded",
    "Status",
    "Trouble",
    "Verdict",
    "Verification",
    "__version__",
    "agent_context",
    "as_written",
    "chain",
    "chain_headers",
    "chain_meta",
    "const",
    "current_agent",
    "guarded",
    "risk",
    "use",
    "verify",
    "verify_agent_scope",
]
