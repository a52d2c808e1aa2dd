"""What a root holds: whether every file of it can be trusted, and what has to be the same in two of them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.files.publish import sha256_of
from longtail.pipeline.files.tensor_files import load_tensors
from longtail.pipeline.store.records.done import digests_of
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.feature_cache import load_verified

CLOCKS = ("seconds", "images_per_second")  # what differs between two equal runs

DONE_WITH = re.compile(r"\.part/|/epoch-\d+(-batch-\d+)?\.(state|safetensors)$")  # shards, checkpoints


def files(root: Path) -> list[Path]:
    """Every file under a root that somebody may read; what is still being written has another name."""
    return sorted(p for p in root.rglob("*") if p.is_file() and not p.name.endswith(".tmp"))


def temporaries(root: Path) -> list[Path]:
    """Files that were being written."""
    return sorted(root.rglob("*.tmp"))


def check_readable(root: Path) -> None:
    """Raise unless every file under its final name is whole."""
    store = Store(root)
    checks: dict[str, Callable[[Path], object]] = {
        ".safetensors": load_tensors,
        ".state": load_tensors,
        ".npy": lambda path: np.load(path, allow_pickle=False),
        ".json": lambda path: json.loads(path.read_bytes()),
        ".jsonl": lambda path: [json.loads(line) for line in path.read_text().splitlines()],
        ".yaml": lambda path: strict_yaml.load(path.read_text(), str(path)),
        "": lambda path: _check_done(store, path),
    }
    for path in files(root):
        assert path.suffix in checks and (path.suffix or path.name == "DONE"), f"{path}: what is it?"
        checks[path.suffix](path)
        if path.name == "manifest.json":
            assert load_verified(store, path.parent.name) is not None, f"{path}: its features are not intact"


def _check_done(store: Store, path: Path) -> None:
    kind, name = path.parts[-3:-1]
    done = store.done(kind, name)
    assert done is not None, f"{path}: damaged"
    for file in done["files"]:
        assert sha256_of(path.parent / file) in digests_of(done, file), f"{path}: {file} is another"


def essence(root: Path) -> dict[str, Any]:
    """Of every file what has to be the same after a disturbed run: all but times."""
    found: dict[str, Any] = {}
    for path in files(root):
        name = path.relative_to(root).as_posix()
        if path.suffix in (".safetensors", ".state"):
            found[name] = load_tensors(path)[2]
        elif path.name in ("manifest.json", "config.yaml") or path.suffix == ".npy":
            found[name] = path.read_bytes()
        elif path.name == "result.json":
            found[name] = _timeless(json.loads(path.read_bytes()))
        elif path.name == "history.jsonl":
            found[name] = [_timeless(json.loads(line)) for line in path.read_text().splitlines()]
        else:
            found[name] = "is there"
    return found


def assert_same(root: Path, wanted: dict[str, Any]) -> None:
    """Raise naming the files that are not as in `wanted`; what was done with may still lie there."""
    got = essence(root)
    names = {*wanted, *(name for name in got if not DONE_WITH.search(name))}
    differing = sorted(name for name in names if got.get(name) != wanted.get(name))
    assert not differing, f"{len(differing)} files differ: {', '.join(differing[:4])}"


def copy(source: Path, target: Path, kinds: tuple[str, ...]) -> Path:
    """A new root with the given kinds of results of another."""
    target.mkdir()
    for kind in kinds:
        shutil.copytree(source / kind, target / kind)
    return target


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in CLOCKS}
