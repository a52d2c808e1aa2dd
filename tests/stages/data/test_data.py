"""Every data set: its parameters, its sources, and digits for real."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import numpy as np
import pytest

from longtail.stages.data import DATASETS, SUPPLIED, Collection
from longtail.stages.data.longtail import make_splits
from longtail.stages.data.pictures.in_memory import ImageArrays
from longtail.stages.registry import Registry
from longtail.stages.registry.annotations import rule_of_text
from tests.places import CHECKOUT
from tests.stages.data.written_sets import write_features, write_idx_set, write_pictures


@pytest.mark.parametrize("name", DATASETS.names())
def test_parameters_read_from_the_source_match_the_signature(name):
    component = Registry.describe(DATASETS, name)
    reader = DATASETS.get(name)
    signature = dict(inspect.signature(reader).parameters)
    signature.pop("workers", None)  # the program's to give, no setting of the data
    assert all(p.kind is p.KEYWORD_ONLY for p in signature.values())
    assert set(signature) == {*component.parameters, *component.fixed}
    for key, parameter in component.parameters.items():
        assert parameter.default == signature[key].default
        assert parameter.rule == rule_of_text(signature[key].annotation)
    shared = set(inspect.signature(make_splits).parameters) - {"collection", *SUPPLIED}
    assert shared.isdisjoint(component.parameters)
    assert set(DATASETS.describe(name).parameters) == shared | set(component.parameters)


@pytest.mark.parametrize("name", DATASETS.names())
def test_every_data_set_says_what_it_is_and_where_it_comes_from(name):
    component = DATASETS.describe(name)
    assert component.summary.endswith(".")
    assert component.source


@pytest.mark.parametrize("name", DATASETS.names())
def test_sources_take_the_parameters_of_the_reader(name):
    reader = DATASETS.get(name)
    sources = inspect.signature(sys.modules[reader.__module__].sources).parameters
    own = {key for key, p in sources.items() if p.kind is p.KEYWORD_ONLY}
    takes_more = any(p.kind is p.VAR_KEYWORD for p in sources.values())
    expected = set(inspect.signature(reader).parameters) - {"workers"}
    assert own <= expected if takes_more else own == expected


def test_sources_load_neither_numpy_nor_torch(tmp_path):
    write_idx_set(tmp_path / "idx")
    write_pictures(tmp_path / "pictures", {"a": 1, "b": 1})
    write_features(tmp_path / "features")
    params = {
        "digits": {},
        "mnist": {"root": str(tmp_path / "idx")},
        "fashion_mnist": {"root": str(tmp_path / "idx")},
        "image_folder": {"root": str(tmp_path / "pictures"), "image_size": 8},
        "feature_arrays": {"root": str(tmp_path / "features")},
    }
    program = (
        "import json, sys\n"
        "from longtail.stages.data import DATASETS\n"
        "entries = {k: [*map(str, DATASETS.sources(k, v))] for k, v in json.loads(sys.argv[1]).items()}\n"
        "heavy = [m for m in ('numpy', 'torch', 'PIL', 'sklearn') if m in sys.modules]\n"
        "print(json.dumps([entries, heavy]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(params)],
        capture_output=True,
        text=True,
        check=True,
        cwd=CHECKOUT,
    )
    entries, heavy = json.loads(done.stdout)
    assert heavy == []
    assert all(entries.values()) and set(entries) == set(params)


def test_digits_splits_are_the_real_thing():
    splits = DATASETS.create("digits", validation_per_class=20, test_per_class=40)
    assert splits.class_counts.sum() == 1797 - 600
    assert splits.input_shape == (1, 8, 8)
    assert splits.train.images.max() == 240
    assert DATASETS.sources("digits", {})[0].is_file()


def test_data_set_without_sources_is_refused_with_what_to_add(monkeypatch):
    monkeypatch.setattr(DATASETS, "_by_hand", {})
    monkeypatch.setattr(DATASETS, "_objects", dict(DATASETS._objects))

    @DATASETS.register("scans")
    def scans(*, root: str):
        raise AssertionError("nothing is read")

    module = sys.modules[__name__]
    with pytest.raises(ValueError, match=rf"'scans': {__name__} must define sources\(\*, root\)"):
        DATASETS.sources("scans", {"root": "here"})
    monkeypatch.setattr(module, "sources", list, raising=False)
    with pytest.raises(ValueError, match=r"sources must take .*unexpected keyword argument 'root'"):
        DATASETS.sources("scans", {"root": "here"})
    monkeypatch.setattr(module, "sources", lambda *, root: [root])
    assert DATASETS.sources("scans", {"root": "here"}) == ["here"]


def test_labels_without_a_class_name_are_refused_not_dropped():
    part = ImageArrays(np.zeros((6, 2, 2, 1), np.uint8), [0, 0, 1, 1, 2, 2])
    with pytest.raises(ValueError, match=r"train part: labels must be in 0\.\.1, .* got 2"):
        make_splits(Collection(part, None, None, ["a", "b"]))


def test_images_need_a_label_each():
    with pytest.raises(ValueError, match=r"must have labels \(N,\), got \(6, 2, 2, 1\) and \(5,\)"):
        ImageArrays(np.zeros((6, 2, 2, 1), np.uint8), range(5))
