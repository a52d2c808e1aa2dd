"""Two sizes of one test: a small one that every `make test` runs, and the full one of `make faults`."""

from __future__ import annotations

import pytest

full_only = [pytest.mark.faults, pytest.mark.timeout(900)]
small_and_full = pytest.mark.parametrize(
    "full",
    [
        pytest.param(False, id="small"),
        pytest.param(True, id="full", marks=full_only),
    ],
)
