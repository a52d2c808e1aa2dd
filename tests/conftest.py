"""What tests share: small configurations and throw-away output roots."""

from __future__ import annotations

import pytest

from pipeline.config import Config, load_config
from pipeline.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "root")


@pytest.fixture(scope="session")
def digits():
    """``digits(*overrides)``: the shipped digits recipe for two epochs on one thread."""

    def make(*overrides: str) -> Config:
        return load_config("digits_lt", ["representation.epochs=2", "system.threads=1", *overrides])

    return make
