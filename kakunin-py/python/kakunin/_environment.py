"""Variables that ask for less enforcement. None is obeyed; each is named in a warning."""

from __future__ import annotations

import logging
import os

from . import _native

logger = logging.getLogger("kakunin")


def warn_of_ignored_variables() -> None:
    """Warns once of each variable that asks to loosen the leash."""
    for name in _native.LOOSENING_VARIABLES:
        value = os.environ.get(name)
        if value is not None and name not in _warned and _native.asks_for_less(name, value):
            _warned.add(name)
            logger.warning("%s", _native.ignored(name, value))


_warned: set[str] = set()
