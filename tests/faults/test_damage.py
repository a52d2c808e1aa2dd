"""Bytes cut off and bits turned over: found out wherever they fall, and never anything but found out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.tensor_files import load_tensors, save_tensors
from longtail.pipeline.store import run_records
from longtail.pipeline.store.run_records import run_settings
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.checkpoint import Best, Checkpoints, Memory
from longtail.pipeline.work.feature_cache import load_verified
from tests.faults.processes import succeed
from tests.faults.roots import assert_same, essence
from tests.faults.sizes import full_only, small_and_full
from tests.finished_runs import named

SAMPLE = 2500  # bits of a file too large for all


@dataclass(frozen=True)
class Kept:
    """A file, and how the program reads it: None (or Damaged) for a file that is not used."""

    path: Path
    read: Callable[[], Any]


def checkpoint(whole, folder: Path) -> Kept:
    path = folder / "epoch-0001.safetensors"
    save_tensors(path, {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(3)}, {"epochs": 1})

    def read():
        tensors, facts, _ = load_tensors(path)
        return {name: (t.dtype.str, t.shape, t.tobytes()) for name, t in tensors.items()}, facts

    return Kept(path, read)


def state(whole, folder: Path) -> Kept:
    import torch

    from longtail.stages.representation import Position

    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoints = Checkpoints(folder)
    checkpoints.save(network, optimizer, Memory(Position(1), [{"epoch": 1, "loss": 0.5}], Best()))

    def read():
        memory = checkpoints.resume(network, optimizer)
        momentum = [v["momentum_buffer"].tolist() for v in optimizer.state_dict()["state"].values()]
        return memory and (memory, momentum)

    return Kept(folder / "epoch-0001.state", read)


def real_state(whole, folder: Path) -> Kept:
    path = Path(shutil.copy(named(whole.root, "representations/*/epoch-0002.state"), folder))
    return Kept(path, lambda: load_tensors(path)[1:])


def done(whole, folder: Path) -> Kept:
    return _classifier(whole, folder, "DONE")


def result(whole, folder: Path) -> Kept:
    return _classifier(whole, folder, "result.json")


def _classifier(whole, folder: Path, file: str) -> Kept:
    source = named(whole.root, "classifiers/*", classifier="crt")
    shutil.copytree(source, folder / "classifiers" / source.name)
    store = Store(folder)
    return Kept(folder / "classifiers" / source.name / file, lambda: store.result(source.name))


def settings(whole, folder: Path) -> Kept:
    return _run(whole, folder, "config.yaml", run_settings)


def history(whole, folder: Path) -> Kept:
    return _run(whole, folder, "history.jsonl", run_records.history)


def provenance(whole, folder: Path) -> Kept:
    return _run(whole, folder, "provenance.json", run_records.provenance)


def _run(whole, folder: Path, file: str, read: Callable[[Store, str], Any]) -> Kept:
    source = named(whole.root, "representations/*")
    target = folder / "representations" / source.name
    target.mkdir(parents=True)
    for name in ("DONE", file):
        shutil.copy(source / name, target)
    store = Store(folder)
    return Kept(target / file, lambda: read(store, source.name))


def manifest(whole, folder: Path) -> Kept:
    return _features(whole, folder, "manifest.json")


def features(whole, folder: Path) -> Kept:
    return _features(whole, folder, "val.X.npy")


def labels(whole, folder: Path) -> Kept:
    return _features(whole, folder, "test.y.npy")


def head(whole, folder: Path) -> Kept:
    return _features(whole, folder, "head.safetensors")


def _features(whole, folder: Path, file: str) -> Kept:
    source = named(whole.root, "features/*")
    shutil.copytree(source, folder / "features" / source.name)
    store = Store(folder)

    def read():
        found = load_verified(store, source.name)
        if found is None:
            return None
        head = found.head
        said = [found.class_counts, found.class_names, head.scale, head.cosine, head.weight.tobytes()]
        parts = [(part.X.tobytes(), part.y.tobytes()) for part in (found.train, found.val, found.test)]
        return said, parts

    path = folder / "features" / source.name / file
    return Kept(path, read)


KINDS = [
    checkpoint, state, real_state, done, result, settings, history, provenance, manifest, features, labels,
    head,
]  # fmt: skip
QUICK = (checkpoint, done, manifest, history)  # have a small form


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """What is damaged is named aloud, a few thousand times here."""
    monkeypatch.setattr(logging.getLogger("longtail"), "disabled", True)


def sizes(test):
    """Every kind in full, some of them small."""
    cases = [(kind, True) for kind in KINDS] + [(kind, False) for kind in QUICK]
    return pytest.mark.parametrize(
        ("kind", "full"),
        [
            pytest.param(
                kind,
                full,
                id=f"{kind.__name__}-{'full' if full else 'small'}",
                marks=full_only if full else [],
            )
            for kind, full in cases
        ],
    )(test)


@sizes
def test_a_file_cut_short_is_never_read_as_something_else(whole, survey, tmp_path, kind, full):
    kept = kind(whole, tmp_path)
    whole_bytes, wanted = kept.path.read_bytes(), kept.read()  # a last line break may go

    def check(length: int) -> None:
        kept.path.write_bytes(whole_bytes[:length])
        found = _read(kept)
        assert found is None or (found == wanted and length == len(whole_bytes) - 1), "read as if whole"

    step = 1 if len(whole_bytes) < 5000 and full else -(-len(whole_bytes) // (SAMPLE if full else 300))
    survey(f"cut short, {kind.__name__}", range(0, len(whole_bytes), step), check)


@sizes
def test_a_turned_bit_is_found_or_changes_nothing_that_is_read(whole, survey, tmp_path, kind, full):
    kept = kind(whole, tmp_path)
    whole_bytes, wanted = kept.path.read_bytes(), kept.read()

    def check(bit: int) -> None:
        turned = bytearray(whole_bytes)
        turned[bit // 8] ^= 1 << bit % 8
        kept.path.write_bytes(turned)
        found = _read(kept)
        assert found is None or found == wanted, "read as something else"

    survey(f"bit turned, {kind.__name__}", _bits(len(whole_bytes), full), check)


def _bits(size: int, full: bool) -> Iterator[int]:
    """All bits of a file of up to some thousand bytes, else a sample; one in each byte in the small form."""
    if not full:
        return (8 * byte + byte % 8 for byte in range(0, size, -(-size // 400)))
    step = 1 if size < 2500 else max(1, 8 * size // SAMPLE) | 1  # odd: every place in a byte has its turn
    return iter(range(0, 8 * size, step))


def _read(kept: Kept) -> Any:
    try:
        return kept.read()
    except Damaged:
        return None


@small_and_full
def test_damaged_features_are_computed_again_with_a_warning(whole, survey, tmp_path, full):
    root = tmp_path / "root"
    shutil.copytree(whole.root, root)
    names = sorted(p.name for p in root.glob("features/*/*") if p.suffix in (".npy", ".safetensors"))
    cases = [(name, how) for name in names for how in ("cut", "turned", "gone")]

    def check(case: tuple[str, str]) -> None:
        name, how = case
        path = named(root, f"features/*/{name}")
        content = path.read_bytes()
        turned = content[:-9] + bytes([content[-9] ^ 4]) + content[-8:]
        path.write_bytes({"cut": content[:-1], "turned": turned, "gone": b""}[how])
        if how == "gone":
            path.unlink()
        shutil.rmtree(root / "classifiers")
        found = succeed(root, whole.command)
        assert any(line.startswith("warning: ") and name in line for line in found.err.splitlines())
        assert_same(root, whole.essence)

    survey("damaged feature file, computed again", cases if full else cases[1:2], check)
    assert essence(root).keys() == whole.essence.keys()
