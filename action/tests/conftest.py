"""A job for each test."""

from pathlib import Path

import pytest
from job import Runner


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)
