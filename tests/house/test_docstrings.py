"""Every example in a docstring gives what it says."""

import doctest
import importlib

import pytest

from tests.house.imports import module_name, sources

SHOWING = [module_name(path) for path in sources() if ">>>" in path.read_text(encoding="utf-8")]


def test_examples_are_found():
    assert {"longtail.stages.losses.ldam", "longtail.stages.samplers.uniform_batch"} <= set(SHOWING)


@pytest.mark.parametrize("module", SHOWING)
def test_docstring_examples_run(module):
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0 and results.failed == 0
