"""Many processes at the same work: one valid result, and no reader that sees anything else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from longtail.pipeline.files.data_hashes import DataHashes
from longtail.pipeline.files.publish import publish_json
from longtail.pipeline.files.tensor_files import load_tensors, save_tensors
from longtail.pipeline.store.identity import make_id
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.feature_cache import is_cached, load_verified
from longtail.pipeline.work.feature_extraction import FeatureSource, extract
from longtail.stages.features import Features
from tests.faults.processes import LIMIT, Running, context
from tests.faults.roots import assert_same, check_readable, temporaries
from tests.faults.sizes import small_and_full
from tests.pipeline.store.results import finished_result

WRITERS, ROUNDS = 32, 8
IDENTITY = {"tensors": None, "data": {}, "transform": "none", "views": 0, "dtype": "float32"}
KEY = make_id("features", IDENTITY)
CLASSES = 3


class Rows:
    """Samples that are their own features: (N, 4), some to a class."""

    preprocessing = None

    def __init__(self, count: int):
        self.labels = np.arange(count) % CLASSES
        self.X = np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass
class Parts:
    """As much of a data set as extraction asks for."""

    train: Rows
    val: Rows
    test: Rows

    class_counts = np.array([20, 20, 20])
    class_names = ["a", "b", "c"]

    def parts(self) -> dict[str, Rows]:
        return {"train": self.train, "val": self.val, "test": self.test}


def write_classifiers(root: str, writer: int, barrier) -> None:
    """Finish the same classifiers, one after the other; as in life only the time it took differs."""
    store = Store(root)
    barrier.wait(LIMIT)
    for name in map(classifier, range(ROUNDS)):
        folder = store.folder("classifiers", name)
        save_tensors(folder / "weights.safetensors", {"weight": np.arange(12.0)}, {"name": "x"})
        publish_json(folder / "result.json", finished_result(run=name, seconds=float(writer)).to_json())
        store.finish("classifiers", name, {"classifier": "x"}, ["weights.safetensors", "result.json"])


def write_features(root: str, writer: int, barrier) -> None:
    """Extract the same features; one that finds its shards gone was beaten to the finish."""
    store, splits = Store(root), Parts(Rows(60), Rows(9), Rows(12))

    def rows(split: str, indices: np.ndarray, view: int | None = None) -> Features:
        part = splits.parts()[split]
        return Features(part.X[indices], part.labels[indices])

    look = DataHashes(store.root / "fingerprints.json").look([])
    barrier.wait(LIMIT)
    for _ in range(ROUNDS):
        try:
            extract(store, IDENTITY, splits, FeatureSource(rows, 4, head=None), look)
        except FileNotFoundError:
            assert (store.folder("features", KEY) / "manifest.json").exists()


def classifier(number: int) -> str:
    """The id of one of several classifiers."""
    return f"{number:016x}"


def read_classifiers(store: Store) -> list:
    """What a reader makes of each, None while there is nothing."""
    found = []
    for name in map(classifier, range(ROUNDS)):
        found.append(None)
        if store.done("classifiers", name) is not None:
            load_tensors(store.folder("classifiers", name) / "weights.safetensors")
            result = store.result(name)
            found[-1] = "refused" if result is None else result.run
    return found


def read_features(store: Store) -> list:
    """The same of features."""
    if not is_cached(store, KEY):
        return [None]
    found = load_verified(store, KEY)
    return ["refused" if found is None else [p.X.tolist() for p in (found.train, found.val, found.test)]]


@small_and_full
@pytest.mark.parametrize(
    ("write", "read"), [(write_classifiers, read_classifiers), (write_features, read_features)]
)
def test_writers_of_one_result_leave_one_and_readers_see_nothing_else(
    survey, tmp_path, monkeypatch, write: Callable, read: Callable, full
):
    monkeypatch.setattr(logging.getLogger("longtail"), "disabled", True)
    writers, store, looks = WRITERS if full else WRITERS // 4, Store(tmp_path), []
    barrier = context().Barrier(writers)
    started = [context().Process(target=write, args=(str(tmp_path), n, barrier)) for n in range(writers)]
    for process in started:
        process.start()
    while any(process.is_alive() for process in started):
        looks.append(read(store))
    final = read(store)

    def check_end(process) -> None:
        process.join(LIMIT)
        assert process.exitcode == 0

    def check_look(look: list) -> None:
        assert all(found in (None, "refused", wanted) for found, wanted in zip(look, final, strict=True))

    survey(f"{writers} at once, {write.__name__}", started, check_end)
    assert None not in final and "refused" not in final, "what they left is not valid"
    survey(f"reader beside them, {read.__name__}", looks, check_look)
    assert temporaries(tmp_path) == []


@pytest.mark.faults
def test_whole_runs_at_once_on_one_root_leave_the_same_as_one(whole, survey, tmp_path):
    command = [*whole.command, "--format", "json"]

    def check(turn: int) -> None:
        root = tmp_path / f"root{turn}"
        outcomes = [process.wait() for process in [Running(root, command) for _ in range(4)]]
        for found in outcomes:
            assert found.status == 0, found.err.splitlines()[-1:]
        assert len({found.out for found in outcomes}) == 1
        check_readable(root)
        assert_same(root, whole.essence)

    survey("whole runs at once, 4 on one root", range(12), check)
