"""What CONTRIBUTING says of the code is so."""

from __future__ import annotations

import re

import pytest

from longtail.stages.classifiers.base import Classifier
from longtail.stages.losses.base import Loss
from longtail.stages.samplers.base import Sampler
from tests.house.markdown import blocks, text_of
from tests.house.test_rooms import FLOORS
from tests.places import CHECKOUT

BASES = {"loss": Loss, "sampler": Sampler, "classifier": Classifier}


def floors(package: str) -> list[tuple[str, ...]]:
    """The rooms of a package from the top floor down, by their short names."""
    rows = [tuple(name.partition(".")[2] for name in row if name.startswith(package)) for row in FLOORS]
    return [row for row in reversed(rows) if row]


@pytest.mark.parametrize(("picture", "package"), [(0, "pipeline"), (1, "stages")])
def test_pictures_of_the_rooms_are_those_imports_are_checked_by(picture, package):
    lines = blocks(text_of("CONTRIBUTING.md"), "text")[picture].splitlines()
    assert [tuple(line.split()) for line in lines] == floors(package)


def test_every_room_is_described():
    rooms = text_of("CONTRIBUTING.md").split("## The rooms")[1].split("\n## ")[0]
    described = re.findall(r"^\| `(\w+)` \| .{10,} \|$", rooms, re.MULTILINE)
    assert described == [
        name for package in ("pipeline", "stages") for row in floors(package) for name in row
    ]


@pytest.mark.parametrize("kind", BASES)
def test_attributes_of_components_are_all_described_with_their_defaults(kind):
    pattern = rf"^\| `(\w+)` \| {kind} \| (\S+) \|"
    described = dict(re.findall(pattern, text_of("CONTRIBUTING.md"), re.MULTILINE))
    attributes = {
        name: value
        for name, value in vars(BASES[kind]).items()
        if not name.startswith("_") and isinstance(value, bool | str | float | None)
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
