"""What results are called, when they count as done, and how files and modules are kept apart."""

from __future__ import annotations

import errno
import gzip
import itertools
import json
import logging
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.components import Spec, check_spec
from longtail.pipeline.config.loading import load_config
from longtail.pipeline.config.recipes import shipped_folder
from longtail.pipeline.errors import Damaged, LongtailError
from longtail.pipeline.files.checked_json import read_json
from longtail.pipeline.files.publish import canonical_json, publish, publish_bytes, publish_json, sha256_of
from longtail.pipeline.store.identity import (
    ID_LENGTH,
    VERSIONS,
    classifier_id,
    feature_key,
    make_id,
    representation_id,
)
from longtail.pipeline.store.store import Store
from tests.pipeline.store.results import finished_result
from tests.places import CHECKOUT


def id_of(store: Store, *overrides: str) -> str:
    return representation_id(store, load_config("digits_lt", overrides))


def idx_folder(folder: Path, *, packed: bool, pixel: int = 7) -> str:
    """Four tiny idx files as MNIST has them, plain or ``.gz``."""
    folder.mkdir(parents=True)
    for part, count in (("train", 4), ("t10k", 2)):
        images = struct.pack(">4B3I", 0, 0, 8, 3, count, 2, 2) + bytes([pixel] * (4 * count))
        labels = struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(range(count))
        for name, content in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            path = folder / (name + (".gz" if packed else ""))
            path.write_bytes(gzip.compress(content) if packed else content)
    return str(folder)


def feature_folder(folder: Path, *, shift: float = 0.0) -> str:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    np.save(folder / "X.npy", rng.normal(size=(12, 3)).astype(np.float32) + np.float32(shift))
    np.save(folder / "y.npy", np.arange(12) % 3)
    return str(folder)


# -- ids ----------------------------------------------------------------------------------------------------


def test_id_is_hexadecimal_of_its_length(store):
    run_id = id_of(store)
    assert len(run_id) == ID_LENGTH and set(run_id) <= set("0123456789abcdef")


CHANGES = [
    "seed=1",
    "data.seed=1",
    "data.imbalance_factor=10",
    "data.profile=step",
    "data.max_count=100",
    "data.validation_per_class=19",
    "data.test_per_class=39",
    "data.classes=[0, 1, 2]",
    "representation.backbone=lenet5",
    "representation.sampler=square_root",
    "representation.sampler={name: power, q: 0.25}",
    "representation.optimizer=adamw",
    "representation.optimizer.lr=0.2",
    "representation.optimizer.momentum=0.8",
    "representation.optimizer.nesterov=false",
    "representation.optimizer.weight_decay=1e-3",
    "representation.schedule=cosine",
    "representation.schedule.start=0.1",
    "representation.epochs=31",
    "representation.batch_size=32",
    "representation.augment.pad=2",
    "representation.augment.flip=true",
    "representation.augment.mixup=0.2",
    "representation.clip_grad_norm=1",
]


def test_every_setting_of_stage_one_changes_its_id(store):
    changes = ["", *CHANGES]
    ids = [id_of(store, *filter(None, [change])) for change in changes]
    same = [
        (changes[a], changes[b])
        for (a, one), (b, two) in itertools.combinations(enumerate(ids), 2)
        if one == two
    ]
    assert not same


@pytest.mark.parametrize(
    "override",
    ["system.threads=3", "system.device=cpu", "system.workers=2", "system.precision=float32",
     "system.checkpoint_minutes=1", "evaluation.many=60", "evaluation.few=10", "classifiers=[ncm]",
     "features.checkpoint=best", "features.dtype=float16", "seed=0", "representation.augment.mixup=0",
     "data.classes=null", "data.imbalance_factor=20.0", "representation.optimizer.lr=1e-1",
     "representation.loss={name: cross_entropy}"],
)  # fmt: skip
def test_what_is_no_part_of_stage_one_keeps_its_id(store, override):
    assert id_of(store, override) == id_of(store)


def test_defaults_spelled_out_keep_every_id(store, tmp_path):
    config = load_config("digits_lt")
    (tmp_path / "full.yaml").write_text(strict_yaml.dump(config.full()))
    full = load_config(str(tmp_path / "full.yaml"))
    assert representation_id(store, full) == representation_id(store, config)
    assert feature_key(store, full, "t") == feature_key(store, config, "t")
    for one, other in zip(full.classifiers, config.classifiers, strict=True):
        assert classifier_id(config, "k", one) == classifier_id(full, "k", other)


def test_ids_do_not_depend_on_the_output_root(tmp_path):
    roots = Store(tmp_path / "a"), Store(tmp_path / "b" / "c"), Store("relative")
    assert len({id_of(store) for store in roots}) == 1


def test_stage_version_changes_the_id(monkeypatch):
    before = {stage: make_id(stage, {"x": 1}) for stage in VERSIONS}
    assert len(set(before.values())) == len(VERSIONS)
    for stage in VERSIONS:
        monkeypatch.setitem(VERSIONS, stage, VERSIONS[stage] + 1)
    assert all(make_id(stage, {"x": 1}) != before[stage] for stage in before)


def test_id_does_not_depend_on_the_order_of_settings():
    one = {"data": {"name": "x", "n": 1}, "seed": 0}
    other = {"seed": 0, "data": {"n": 1, "name": "x"}}
    assert make_id("representation", one) == make_id("representation", other)


def test_feature_key_follows_tensors_data_and_settings(store):
    config = load_config("digits_lt")
    half = load_config("digits_lt", ["features.dtype=float16"])
    best = load_config("digits_lt", ["features.checkpoint=best"])
    other_data = load_config("digits_lt", ["data.seed=1"])
    keys = {
        feature_key(store, c, t) for c, t in ((config, "t"), (config, "u"), (half, "t"), (other_data, "t"))
    }
    assert len(keys) == 4
    assert feature_key(store, best, "t") == feature_key(store, config, "t")  # the tensors say which


def test_classifier_id_follows_features_parameters_and_seed(store):
    config = load_config("digits_lt")
    ids = {
        classifier_id(config.model_copy(update={"seed": seed}), key, Spec("classifiers", name, params))
        for key in "ab"
        for name in ("crt", "maxnorm")
        for params in ({}, {"weight_decay": 0.2}, {"weight_decay": 0.3})
        for seed in (0, 1)
    }
    assert len(ids) == 24


def test_maxnorm_of_the_earlier_default_is_not_taken_for_the_one_that_chooses():
    config = load_config("digits_lt")

    def id_of_classifier(value):
        return classifier_id(config, "k", check_spec("classifiers", value))

    def made_from(**classifier):
        return make_id("classifier", {"features": "k", "classifier": classifier, "seed": 0})

    chosen = {"name": "maxnorm", "weight_decay": "validation"}
    assert id_of_classifier("maxnorm") == id_of_classifier(chosen) == made_from(**chosen)
    assert id_of_classifier("maxnorm") != made_from(name="maxnorm")
    named = {"name": "maxnorm", "weight_decay": 0.005}  # means what it meant
    assert id_of_classifier(named) == made_from(**named)
    for wrapped in ("maxnorm", chosen):
        spec = check_spec("classifiers", {"name": "temperature", "classifier": wrapped})
        assert spec.minimal() == {"name": "temperature", "classifier": chosen}


# -- the data's identity ------------------------------------------------------------------------------------


def features_key(store: Store, root: str, *overrides: str) -> str:
    return feature_key(store, load_config("features", [f"data.root={root}", *overrides]), None)


def test_feature_arrays_are_known_by_content_not_by_place(store, tmp_path):
    here = features_key(store, feature_folder(tmp_path / "here"))
    assert features_key(store, feature_folder(tmp_path / "else" / "where")) == here
    assert features_key(store, feature_folder(tmp_path / "other", shift=1e-6)) != here
    assert features_key(store, str(tmp_path / "here"), "data.seed=1") != here


def test_changed_feature_file_changes_the_key(store, tmp_path):
    root = feature_folder(tmp_path / "f")
    before = features_key(store, root)
    labels = np.load(tmp_path / "f" / "y.npy")
    labels[0] = 2
    np.save(tmp_path / "f" / "y.npy", labels)
    assert features_key(store, root) != before


def test_swapped_feature_files_change_the_key(store, tmp_path):
    """Not only the set of hashes counts but which array each stands for."""
    keys = []
    for folder, (first, second) in {"a": ("train", "test"), "b": ("test", "train")}.items():
        (tmp_path / folder).mkdir()
        for part, value in ((first, 0.0), (second, 1.0)):
            np.save(tmp_path / folder / f"{part}.X.npy", np.full((4, 2), value, np.float32))
            np.save(tmp_path / folder / f"{part}.y.npy", np.arange(4) % 2)
        keys.append(features_key(store, str(tmp_path / folder)))
    assert keys[0] != keys[1]


def test_packed_and_plain_idx_files_have_one_identity(store, tmp_path):
    def of(folder: Path, **options) -> str:
        return id_of(store, f"data={{name: mnist, root: {idx_folder(folder, **options)}, max_count: null}}")

    plain = of(tmp_path / "plain", packed=False)
    assert of(tmp_path / "packed", packed=True) == plain
    assert of(tmp_path / "torchvision" / "MNIST" / "raw", packed=True) == plain
    assert of(tmp_path / "changed", packed=False, pixel=8) != plain
    assert of(tmp_path / "changed-packed", packed=True, pixel=8) != plain


def test_permission_to_download_is_no_part_of_the_identity(store, tmp_path):
    root = idx_folder(tmp_path / "here", packed=False)

    def of(download: str) -> str:
        return id_of(store, f"data={{name: mnist, root: {root}, max_count: null, download: {download}}}")

    assert of("true") == of("false")


def test_image_folder_is_known_by_names_sizes_and_labels(store, tmp_path):
    def of(top: str, *pictures: tuple[str, int]) -> str:
        for name, size in pictures:
            path = tmp_path / top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)
        return id_of(store, f"data={{name: image_folder, root: {tmp_path / top}}}")

    first = of("a", ("cat/1.png", 3), ("dog/1.png", 4))
    assert of("b", ("dog/1.png", 4), ("cat/1.png", 3)) == first
    assert of("c", ("cat/1.png", 3), ("dog/1.png", 5)) != first
    assert of("d", ("cat/2.png", 3), ("dog/1.png", 4)) != first
    assert of("e", ("dog/1.png", 3), ("cat/1.png", 4)) != first
    assert of("f", ("cat/1.png", 3), ("dog/1.png", 4), ("dog/2.png", 1)) != first
    with pytest.warns(UserWarning, match=r"1 file not read: 1 \.txt"):
        assert of("b", ("dog/notes.txt", 9)) == first


def test_missing_data_is_named_before_anything_is_made(store, tmp_path):
    with pytest.raises(ValueError, match=r"data\.root: "):
        features_key(store, str(tmp_path / "gone"))
    assert not store.root.exists()


def test_packed_file_cut_short_is_named(store, tmp_path):
    root = idx_folder(tmp_path / "mnist", packed=True)
    path = Path(root) / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(LongtailError, match=r"train-images-idx3-ubyte\.gz: "):
        id_of(store, f"data={{name: mnist, root: {root}}}")


# -- finished work ------------------------------------------------------------------------------------------


@pytest.fixture
def finished(store) -> str:
    """The id of a finished classifier."""
    name = "0123456789abcdef"
    folder = store.folder("classifiers", name)
    publish_json(folder / "result.json", finished_result(run=name).to_json())
    store.finish("classifiers", name, {"classifier": "ncm"}, ["result.json"])
    return name


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    """Warnings of the program's logger, which the command line cuts off from pytest's."""
    texts: list[str] = []
    monkeypatch.setattr(
        logging.getLogger("longtail"), "warning", lambda text, *args: texts.append(text % args)
    )
    return texts


def test_finished_work_is_read_back(store, finished, warnings):
    done = store.done("classifiers", finished)
    assert done["classifier"] == "ncm"
    assert done["files"] == {"result.json": sha256_of(store.folder("classifiers", finished) / "result.json")}
    assert store.result(finished) == finished_result(run=finished)
    assert [result.run for result in store.results()] == [finished]
    assert not warnings


def test_unfinished_work_is_not_done_and_not_mentioned(store, warnings):
    publish_json(store.folder("classifiers", "ab") / "result.json", {"run": "ab"})
    assert store.done("classifiers", "ab") is None
    assert store.result("ab") is None
    assert list(store.results()) == []
    assert not warnings


def test_any_flipped_bit_in_a_result_is_found(store, finished, warnings):
    path = store.folder("classifiers", finished) / "result.json"
    content = path.read_bytes()
    for position in range(len(content)):
        for bit in (0, 4, 7):
            path.write_bytes(
                content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]
            )
            assert store.result(finished) is None
    assert len(warnings) == 3 * len(content) and all(str(path) in line for line in warnings)
    path.write_bytes(content)
    assert store.result(finished) is not None


def test_any_flipped_bit_in_done_is_found(store, finished, warnings):
    path = store.folder("classifiers", finished) / "DONE"
    content = path.read_bytes()
    whole = store.done("classifiers", finished)
    for position in range(len(content)):
        for bit in (0, 4, 7):
            path.write_bytes(
                content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]
            )
            done = store.done("classifiers", finished)
            assert done is None or done == whole  # white space may change without harm
    assert len(warnings) > 2.5 * len(content.replace(b" ", b"").replace(b"\n", b""))


def test_done_cut_anywhere_is_not_done_and_named(store, finished, warnings):
    path = store.folder("classifiers", finished) / "DONE"
    content = path.read_bytes().rstrip()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert store.done("classifiers", finished) is None
        assert store.result(finished) is None
    assert len(warnings) == 2 * len(content) and all(str(path) in line for line in warnings)


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}", '{"files": {}}', '"x"', '{"check": NaN}'])
def test_done_that_holds_something_else_is_not_done(store, finished, warnings, content):
    (store.folder("classifiers", finished) / "DONE").write_text(content)
    assert store.done("classifiers", finished) is None
    assert len(warnings) == 1


def test_result_without_a_field_is_made_again(store, finished, warnings):
    record = finished_result(run=finished).to_json()
    del record["metrics"]
    publish_json(store.folder("classifiers", finished) / "result.json", record)
    store.finish("classifiers", finished, {"classifier": "ncm"}, ["result.json"])
    assert store.result(finished) is None
    (warning,) = warnings
    assert warning.endswith("result.json: lacks metrics; it is not used")


def test_result_that_is_gone_is_made_again(store, finished, warnings):
    (store.folder("classifiers", finished) / "result.json").unlink()
    assert store.result(finished) is None
    assert len(warnings) == 1


def test_read_json_names_a_file_that_is_not_json(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(Damaged, match=r"a\.json: is not JSON"):
        read_json(tmp_path / "a.json")


# -- resolving ids ------------------------------------------------------------------------------------------


def test_unique_prefix_is_resolved(store):
    for name in ("abc123", "abd456", "fff"):
        store.folder("representations", name).mkdir(parents=True)
    store.folder("classifiers", "abcfff").mkdir(parents=True)
    assert store.resolve("representations", "abc") == "abc123"
    assert store.resolve("representations", "abc123") == "abc123"
    assert store.resolve("representations", "f") == "fff"
    assert store.resolve("classifiers", "a") == "abcfff"


@pytest.mark.parametrize("prefix", ["", "0", "abc1234", "*", "..", "../classifiers", "xyz", "ABC"])
def test_prefix_that_no_id_has_gives_none(store, prefix):
    store.folder("representations", "abc123").mkdir(parents=True)
    assert store.resolve("representations", prefix) is None


def test_ambiguous_prefix_is_refused_with_the_candidates(store):
    for name in ("abc123", "abd456"):
        store.folder("representations", name).mkdir(parents=True)
    with pytest.raises(LongtailError, match=r"'ab' begins 2 ids under representations: abc123, abd456"):
        store.resolve("representations", "ab")


def test_unfinished_parts_and_files_are_no_ids(store):
    store.folder("features", "abc123").mkdir(parents=True)
    store.folder("features", "abc123.part").mkdir()
    store.folder("features", "abcd").touch()
    assert store.resolve("features", "abc") == "abc123"


# -- publishing ---------------------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_publish_makes_folders_and_the_whole_file(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    assert publish_bytes(path, b"content") == sha256_of(path)
    assert path.read_bytes() == b"content" and names(path.parent) == ["file"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()]
)
@pytest.mark.parametrize("before", [None, b"old"])
def test_failed_publish_leaves_the_old_file_and_no_trace(tmp_path, error, before):
    path = tmp_path / "file"
    if before is not None:
        publish_bytes(path, before)

    def write(file) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        publish(path, write)
    assert names(tmp_path) == ([] if before is None else ["file"])
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failure_to_sync_or_rename_leaves_the_old_file_and_no_trace(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    publish_bytes(path, b"old")

    def full(*_) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="Input/output error"):
        publish_bytes(path, b"new")
    monkeypatch.undo()
    assert names(tmp_path) == ["file"] and path.read_bytes() == b"old"


def test_file_appears_only_after_its_bytes_are_on_disk(tmp_path, monkeypatch):
    path, steps = tmp_path / "file", []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: steps.append("fsync") or fsync(handle))
    monkeypatch.setattr(os, "replace", lambda *paths: steps.append("rename") or replace(*paths))
    publish(path, lambda file: file.write(b"x") and steps.append(path.exists()))
    assert steps == [False, "fsync", "rename", "fsync"]  # the last is the folder's


def test_concurrent_writers_leave_one_whole_file_and_readers_see_no_half(tmp_path):
    """Three processes with two threads each write one name while this one reads it."""
    path, enough = tmp_path / "file", tmp_path / "enough"
    code = (
        "import sys, threading, pathlib\n"
        "from longtail.pipeline.files.publish import publish_bytes\n"
        "def work(n):\n"
        "    while not pathlib.Path(sys.argv[3]).exists():\n"
        "        publish_bytes(pathlib.Path(sys.argv[1]), bytes([n]) * 200_000)\n"
        "threads = [threading.Thread(target=work, args=[int(sys.argv[2]) + k]) for k in (0, 1)]\n"
        "[t.start() for t in threads], [t.join() for t in threads]\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, path, str(n), enough], cwd=CHECKOUT)
        for n in (0, 10, 20)
    ]
    seen, looks = set(), 0
    while (len(seen) < 6 or looks < 500) and all(writer.poll() is None for writer in writers):
        if path.exists():
            content = path.read_bytes()
            assert len(content) == 200_000 and len(set(content)) == 1
            seen.add(content[0])
            looks += 1
    enough.touch()
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert seen == {0, 1, 10, 11, 20, 21}
    assert names(tmp_path) == ["enough", "file"] and len(set(path.read_bytes())) == 1


def test_two_threads_finishing_the_same_work_leave_it_done(store, finished, warnings):
    work = ["classifiers", finished, {"classifier": "ncm"}, ["result.json"]]
    threads = [threading.Thread(target=store.finish, args=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.result(finished) is not None and not warnings


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [1, -float("inf")]}])
def test_json_without_finite_numbers_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        publish_json(tmp_path / "a.json", value)
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)
    assert names(tmp_path) == []


def test_json_is_read_back(tmp_path):
    value = {"é": [1, 0.1, None, True, "x\n"], "b": {}}
    assert publish_json(tmp_path / "a.json", value) == sha256_of(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value
    assert canonical_json({"b": 1, "a": [1.0, "é"]}) == '{"a":[1.0,"é"],"b":1}'


# -- imports run one way ------------------------------------------------------------------------------------


def test_checking_a_configuration_loads_nothing_heavy():
    code = (
        "import sys, longtail.pipeline.cli\n"
        "from longtail.pipeline.config.loading import load_config\n"
        "from longtail.pipeline.config.recipes import shipped\n"
        "for name in shipped(): load_config(name, ['seed=1']).minimal()\n"
        "heavy = {'torch', 'torchvision', 'numpy', 'scipy', 'sklearn', 'faiss', 'PIL', 'pandas', 'tqdm'}\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
    )
    assert (shipped_folder() / "digits_lt.yaml").is_file()
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == ""


def test_a_stray_file_among_the_results_is_overlooked(store):
    for kind in ("representations", "classifiers"):
        store.folder(kind, ".DS_Store").parent.mkdir(parents=True)
        store.folder(kind, ".DS_Store").write_bytes(b"?")
    assert list(store.results()) == []


def test_a_store_for_one_command_looks_at_the_data_once(tmp_path, digits, monkeypatch):
    from longtail.stages.data import DatasetRegistry

    looked, sources = [], DatasetRegistry.sources
    monkeypatch.setattr(DatasetRegistry, "sources", lambda self, *a: looked.append(1) or sources(self, *a))
    for one_command, expected in ((True, 2), (False, 3)):
        store = Store(tmp_path / str(one_command), one_command=one_command)
        looked.clear()
        ids = {representation_id(store, digits()) for _ in range(2)} | {
            representation_id(store, digits("data.seed=1"))
        }
        assert len(ids) == 2 and len(looked) == expected
