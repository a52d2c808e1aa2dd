"""The program as a whole: bad input, pipes and signals."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import (
    Outcome,
)


@pytest.fixture
def first(digits_run) -> tuple[Path, Outcome]:
    """An output root with one small finished run, and what that run printed."""
    return digits_run


@pytest.fixture
def root(first) -> Path:
    return first[0]
