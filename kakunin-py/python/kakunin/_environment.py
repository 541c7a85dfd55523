"""Variables that ask for less enforcement. None is obeyed; each is named in a warning."""

from __future__ import annotations

import logging
import os

logger = logging.getLogger("kakunin")

OFF = frozenset(
    {"0", "false", "no", "off", "none", "observe", "disable", "disabled", "allow", "permissive", "open"}
)
ON = frozenset({"1", "true", "yes", "on"})

#: Variable, and the values with which it asks for less.
ASKING = {
    "KAKUNIN_MODE": OFF | {"check", "dry-run", "audit"},
    "KAKUNIN_ENFORCE": OFF,
    "KAKUNIN_ENABLED": OFF,
    "KAKUNIN_GUARD": OFF,
    "KAKUNIN_DISABLE": ON,
    "KAKUNIN_DISABLED": ON,
    "KAKUNIN_OBSERVE": ON,
    "KAKUNIN_FAIL_OPEN": ON,
    "KAKUNIN_ALLOW_ALL": ON,
    "KAKUNIN_SKIP": ON,
}


def warn_of_ignored_variables() -> None:
    """Warns once of each variable that asks to loosen the leash."""
    for name, values in ASKING.items():
        if name not in _warned and os.environ.get(name, "").strip().lower() in values:
            _warned.add(name)
            logger.warning(
                "%s=%s is ignored: the environment cannot loosen enforcement; observe mode is set in code",
                name, os.environ[name],
            )  # fmt: skip


_warned: set[str] = set()
