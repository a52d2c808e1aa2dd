"""What CONTRIBUTING says of the code is so."""

from __future__ import annotations

import re

import pytest

from longtail.stages.classifiers.base import Classifier
from longtail.stages.losses.base import Loss
from longtail.stages.samplers.base import Sampler
from tests.house.markdown import text_of
from tests.places import CHECKOUT

BASES = {"loss": Loss, "sampler": Sampler, "classifier": Classifier}


@pytest.mark.parametrize("kind", BASES)
def test_attributes_of_components_are_all_described_with_their_defaults(kind):
    pattern = rf"^\| `(\w+)` \| {kind} \| (\S+) \|"
    described = dict(re.findall(pattern, text_of("CONTRIBUTING.md"), re.MULTILINE))
    attributes = {
        name: value
        for name, value in vars(BASES[kind]).items()
        if not name.startswith("_") and isinstance(value, bool | str | float | tuple | None)
    }
    assert described == {
        name: str(v) if not isinstance(v, str) else f'"{v}"' for name, v in attributes.items()
    }


def test_files_and_folders_named_exist():
    named = re.findall(r"`((?:stages|pipeline|tests|docs|configs)/[\w/.]*)`", text_of("CONTRIBUTING.md"))
    examples = {"stages/losses/my_loss.py", "stages/data/my_data.py"}
    assert len(named) > 15
    assert not [name for name in named if name not in examples and not (CHECKOUT / name).exists()]


def test_modules_named_exist():
    from importlib import import_module

    for name in re.findall(r"`(longtail(?:\.\w+)+)", text_of("CONTRIBUTING.md")):
        parent, _, last = name.rpartition(".")
        module = import_module(parent)
        assert hasattr(module, last) or import_module(name), name
