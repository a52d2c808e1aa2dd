"""Extraction and the cache: nothing missed, nothing trusted unread, nothing done twice."""

from __future__ import annotations

import json
import logging
import threading

import numpy as np
import pytest
import torch

from longtail.pipeline.files.tensor_files import load_tensors
from longtail.pipeline.store.classifier_files import load_classifier
from longtail.pipeline.store.identity import feature_key, representation_id
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.finished_run import trained_network
from longtail.pipeline.training.splits import load_splits
from longtail.pipeline.work import feature_extraction
from longtail.pipeline.work.execute import run_extraction, run_stage_one, run_stage_two
from longtail.pipeline.work.feature_cache import load_verified
from longtail.stages.features import forward_rows


@pytest.fixture
def finished(digits, digits_run):
    """A finished two-epoch run: (config, store, feature key)."""
    config, store = digits(), Store(digits_run[0])
    return config, store, run_extraction(config, store)


@pytest.fixture
def warnings_said(monkeypatch):
    messages = []
    monkeypatch.setattr(
        logging.getLogger("longtail"), "warning", lambda text, *args: messages.append(text % args)
    )
    return messages


def test_cached_features_through_the_stored_head_equal_the_networks_logits(finished):
    config, store, key = finished
    cached, splits = load_verified(store, key), load_splits(config)
    network = trained_network(config, store, representation_id(store, config), splits, "last")
    for name, part in splits.parts().items():
        logits = forward_rows(network, part, np.arange(len(part)))
        features = getattr(cached, name)
        np.testing.assert_allclose(cached.head.logits(features.X), logits, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(features.y, part.labels)


def test_extraction_leaves_network_and_checkpoint_alone(finished):
    config, store, _ = finished
    done = store.done("representations", representation_id(store, config))
    splits = load_splits(config)
    network = trained_network(config, store, representation_id(store, config), splits, "last").train()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    from longtail.stages.features import extract_features

    extract_features(network.backbone, splits.train)
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    assert network.training
    path = store.folder("representations", representation_id(store, config)) / done["last"]["file"]
    assert load_tensors(path)[2] == done["last"]["tensors"]


def test_manifest_names_every_file_with_its_hash_and_repeats_the_key(finished):
    _, store, key = finished
    folder = store.folder("features", key)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["key"] == key
    assert {*manifest["files"], "manifest.json"} == {path.name for path in folder.iterdir()}
    assert sum(manifest["class_counts"]) == manifest["files"]["train.X.npy"]["shape"][0]
    assert not folder.with_name(f"{key}.part").exists()


def test_features_are_memory_maps(finished):
    _, store, key = finished
    assert isinstance(load_verified(store, key).train.X, np.memmap)


@pytest.mark.parametrize("name", ["train.X.npy", "val.y.npy", "head.safetensors"])
@pytest.mark.parametrize("how", ["cut", "flip", "missing"])
def test_a_damaged_feature_file_is_named_and_extracted_again(digits, store, warnings_said, name, how):
    config = digits("classifiers=[joint]")
    before = run_stage_two(config, store)
    path = store.folder("features", run_extraction(config, store)) / name
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(
            content[:-3] if how == "cut" else content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        )
    again = run_stage_two(digits("classifiers=[crt]"), store)
    assert any(name in text for text in warnings_said)
    assert path.read_bytes() == content
    assert again[0].features == before[0].features


def test_damaged_final_weights_are_trained_again_from_what_is_intact(digits, store, warnings_said):
    config = digits("representation.epochs=3")
    run_stage_one(config, store)
    path = store.folder("representations", representation_id(store, config)) / "epoch-0003.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    results = run_stage_two(config, store)
    assert path.read_bytes() == content
    assert len(results) == 5 and any("epoch-0003" in text for text in warnings_said)


def test_a_killed_extraction_goes_on_at_its_shard(digits, store, monkeypatch):
    config = digits("features.dtype=float16")
    one = run_stage_one(config, store)
    monkeypatch.setattr(feature_extraction, "SHARD_BYTES", 1)  # a shard per batch
    monkeypatch.setattr(feature_extraction, "BATCH", 50)
    save, saved = feature_extraction.save_tensors, []

    def die_at_the_fifth(path, *args):
        if len(saved) == 4:
            raise KeyboardInterrupt
        saved.append(path.name)
        return save(path, *args)

    monkeypatch.setattr(feature_extraction, "save_tensors", die_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        run_extraction(config, store)
    key = feature_key(store, config, one.tensors)
    assert load_verified(store, key) is None
    part = store.folder("features", f"{key}.part")
    (part / saved[1]).write_bytes((part / saved[1]).read_bytes()[:-1])  # and one of them is cut
    again = []
    monkeypatch.setattr(
        feature_extraction, "save_tensors", lambda path, *a: (again.append(path.name), save(path, *a))[1]
    )
    run_extraction(config, store)
    assert not set(again) & {saved[0], saved[2], saved[3]} and saved[1] in again
    cached = load_verified(store, key)
    assert cached.train.X.dtype == np.float16 and len(cached.train) == 369 and len(cached.test) == 400
    monkeypatch.undo()
    whole = Store(store.root / "whole")
    run_stage_one(config, whole)
    expected = load_verified(whole, run_extraction(config, whole))
    np.testing.assert_allclose(cached.train.X, expected.train.X, rtol=2e-3, atol=2e-3)


def test_concurrent_extractions_leave_one_valid_result(digits, store):
    config = digits()
    run_stage_one(config, store)
    failures = []

    def extract():
        try:
            run_extraction(config, store)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=extract) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert load_verified(store, run_extraction(config, store)) is not None


def test_finished_classifiers_load_with_the_scores_they_had(finished):
    config, store, key = finished
    cached = load_verified(store, key)
    for result in run_stage_two(config, store):
        estimator = load_classifier(store, result.run)
        scores = estimator.scores(cached.test.X)
        assert (scores.argmax(1) == cached.test.y).mean() == result.metrics["test"]["accuracy"]


def test_changing_a_classifiers_parameters_reuses_the_features(finished, copy_of, monkeypatch):
    store = Store(copy_of(finished[1].root))
    config = finished[0].model_copy(update={"classifiers": finished[0].classifiers[:1]})
    import longtail.pipeline.work.run_extraction

    monkeypatch.setattr(
        longtail.pipeline.work.run_extraction, "_extract", lambda *args: pytest.fail("extracted again")
    )
    from longtail.pipeline.config.components import Spec

    other = config.model_copy(update={"classifiers": [Spec("classifiers", "ncm", {"feature": "l2"})]})
    assert run_stage_two(other, store)[0].params == {"feature": "l2"}


def test_best_checkpoint_has_features_of_its_own(digits, store):
    config = digits("representation.epochs=4", "classifiers=[joint]")
    last = run_stage_two(config, store)[0]
    best = run_stage_two(
        digits("representation.epochs=4", "classifiers=[joint]", "features.checkpoint=best"), store
    )[0]
    assert best.representation == last.representation
    tensors = store.done("representations", last.representation)
    assert (best.features == last.features) == (tensors["best"]["tensors"] == tensors["last"]["tensors"])


def test_an_extraction_overtaken_by_another_process_finds_its_result(digits, store, monkeypatch):
    config = digits()
    run_stage_one(config, store)
    publish, twins = feature_extraction.publish_npy, []

    def overtaken(path, *args):
        if not twins:
            twins.append(path)
            run_extraction(config, store)  # the other process, from start to end
        return publish(path, *args)

    monkeypatch.setattr(feature_extraction, "publish_npy", overtaken)
    assert load_verified(store, run_extraction(config, store)) is not None and twins


def test_features_with_a_class_absent_from_training_count_it_as_never_recognised(tmp_path, store):
    from longtail.pipeline.config.loading import load_config

    rng = np.random.default_rng(0)
    arrays = {}
    for part, labels in (("train", [0, 1, 3]), ("val", [0, 1, 2, 3]), ("test", [0, 1, 2, 3])):
        y = np.repeat(labels, 12)
        arrays |= {
            f"X_{part}": (np.eye(4)[y] * 4 + rng.normal(size=(len(y), 4))).astype(np.float32),
            f"y_{part}": y,
        }
    np.savez(tmp_path / "x.npz", **arrays)
    for result in run_stage_two(load_config("features", [f"data.root={tmp_path / 'x.npz'}"]), store):
        accuracy = result.metrics["test"]["class_accuracy"]
        assert accuracy[2] == 0 and min(accuracy[0], accuracy[1], accuracy[3]) > 0.6, result.classifier
