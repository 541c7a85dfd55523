"""Fixtures for pytest: `pytest_plugins = ["kakunin.testing.fixtures"]` in the top `conftest.py`."""

from __future__ import annotations

import pytest

from . import FakeClock, MemoryAuthority


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands at the present until the test moves it."""
    return FakeClock()


@pytest.fixture
def authority(clock: FakeClock) -> MemoryAuthority:
    """An authority in memory; its agents live by `clock`."""
    return MemoryAuthority(clock=clock)
