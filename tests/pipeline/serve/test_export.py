"""`longtail export`: the file scores as the run does, says what it is, and exists whole or not at all."""

from __future__ import annotations

import builtins
import json
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.serve.export import TOLERANCE, build_module, export, largest_difference, onnx_writer
from longtail.pipeline.serve.finished_model import load_finished_model
from longtail.pipeline.store.classifier_files import load_classifier
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.splits import load_splits
from longtail.pipeline.work.feature_cache import load_verified
from tests.command_line import SMALL as DIGITS
from tests.command_line import failed, ok
from tests.finished_runs import results_by_classifier
from tests.places import CHECKOUT

WHY = "the extra `export` is not installed"


@pytest.fixture(scope="session")
def store(digits_run) -> Store:
    """The small digits run, finished."""
    return Store(digits_run[0])


@pytest.fixture(scope="module")
def ort():
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name, reason=WHY)
    return pytest.importorskip("onnxruntime", reason=WHY)


@pytest.fixture(scope="module")
def test_part():
    return load_splits(load_config(DIGITS[0], DIGITS[1:])).test


@pytest.fixture(scope="module")
def written(store, ort, tmp_path_factory):
    """``written(classifier)``: the bytes of its .onnx file, made once."""

    @cache
    def make(classifier: str) -> bytes:
        path = tmp_path_factory.mktemp("written") / "model.onnx"
        assert "scores differ from torch's by at most" in export(
            store, result(store, classifier).run, str(path)
        )
        return path.read_bytes()

    return make


def result(store, classifier):
    return results_by_classifier(store.root)[classifier]


def pixels(part) -> np.ndarray:
    """The test pictures as a user of the file would give them: (N, 1, 8, 8) in [0, 1]."""
    return part.images.permute(0, 3, 1, 2).numpy().astype(np.float32) / 255


def session(ort, content: bytes):
    return ort.InferenceSession(content, providers=["CPUExecutionProvider"])


def assert_scores(scores, expected):
    np.testing.assert_array_equal(np.isneginf(scores), np.isneginf(expected))
    finite = np.isfinite(expected)
    scale = np.abs(expected[finite]).max()
    np.testing.assert_allclose(scores[finite], expected[finite], rtol=0, atol=1e-4 * scale)


# -- scores -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classifier", ["joint", "crt", "ncm", "tau_norm", "lws"])
def test_onnx_gives_the_scores_of_the_run(store, written, ort, test_part, classifier):
    run, one = session(ort, written(classifier)), result(store, classifier)
    features = load_verified(store, one.features).test.X
    expected = load_classifier(store, one.run).scores(features)
    images = pixels(test_part)
    (scores,) = run.run(None, {"pixels": images})
    assert_scores(scores, expected)
    for count in (1, 3):
        assert_scores(run.run(["scores"], {"pixels": images[:count]})[0], expected[:count])


@pytest.fixture(scope="session")
def absent(shared) -> Store:
    """Feature arrays without a training sample of class 3."""

    def fill(folder):
        X, y = load_digits(return_X_y=True)
        np.savez(
            folder / "digits.npz",
            X_train=X[:300], y_train=np.where(y[:300] == 3, 4, y[:300]),
            X_val=X[300:400], y_val=y[300:400], X_test=X[400:500], y_test=y[400:500],
        )  # fmt: skip
        names = "classifiers=[ncm, oltr, disalign, knn]"
        ok("--root", folder / "root", "run", "features", f"data.root={folder}/digits.npz", names)

    return Store(shared.make("features_without_a_class", fill) / "root")


@pytest.mark.parametrize("classifier", ["ncm", "oltr", "disalign"])
def test_absent_classes_stay_minus_infinity(absent, ort, classifier):
    finished = load_finished_model(absent, result(absent, classifier))
    model, example = build_module(finished)
    content, _ = onnx_writer()(model, example, {})
    X = load_verified(absent, finished.result.features).test.X
    (scores,) = session(ort, content).run(None, {"features": np.asarray(X, np.float32)})
    assert np.isneginf(scores[:, 3]).all() and np.isfinite(np.delete(scores, 3, 1)).all()
    assert_scores(scores, finished.estimator.scores(X))


def test_pt2_gives_the_scores_of_the_run(store, test_part, tmp_path):
    one, path = result(store, "crt"), tmp_path / "model.pt2"
    export(store, one.run, str(path))
    metadata = {"longtail.json": ""}
    model = torch.export.load(path, extra_files=metadata).module()
    expected = load_classifier(store, one.run).scores(load_verified(store, one.features).test.X)
    with torch.inference_mode():
        assert_scores(model(torch.from_numpy(pixels(test_part))).numpy(), expected)
    assert json.loads(json.loads(metadata["longtail.json"])["run"]) == one.run


# -- what it says -----------------------------------------------------------------------------------------


def test_metadata_says_how_pictures_are_read_and_what_classes_are_called(store, written, ort, test_part):
    one, content = result(store, "tau_norm"), written("tau_norm")
    run = session(ort, content)
    metadata = {k: json.loads(v) for k, v in run.get_modelmeta().custom_metadata_map.items()}
    assert metadata["classes"] == [str(n) for n in range(10)]
    assert (metadata["run"], metadata["classifier"]) == (one.run, "tau_norm")
    assert metadata["fitted"] == {"tau_": one.fitted["tau_"]}
    assert (metadata["height"], metadata["width"], metadata["mode"], metadata["resize"]) == (
        8,
        8,
        "gray",
        None,
    )
    for key in ("mean", "std"):  # of pixels in [0, 1], as the input is
        assert metadata[key] == pytest.approx([value / 255 for value in test_part.constants[key]])
    assert "do not apply mean and std" in metadata["normalization"]
    assert metadata["scores"] == "logits" and metadata["longtail"]
    (taken,) = run.get_inputs()
    assert taken.shape[1:] == [1, 8, 8] and not isinstance(taken.shape[0], int)
    for place in (Path.cwd(), Path(__file__).parent, Path(torch.__file__).parent):
        assert str(place).encode() not in content, "a path of this machine"


def test_pt2_holds_no_path_of_this_machine(store, tmp_path):
    export(store, result(store, "joint").run, str(tmp_path / "model.pt2"))
    with zipfile.ZipFile(tmp_path / "model.pt2") as archive:
        for name in archive.namelist():
            for place in (CHECKOUT, Path(torch.__file__).parent):
                assert str(place).encode() not in archive.read(name), name


def test_command_prints_what_it_wrote_and_its_difference(store, tmp_path):
    path = tmp_path / "model.pt2"
    out = ok("--root", store.root, "export", DIGITS[0], path, *DIGITS[1:], "--classifier", "crt").out
    assert out.startswith(f"written: {path} (crt {result(store, 'crt').run}, ")
    assert float(out.split("at most ")[1].split()[0]) <= TOLERANCE


# -- refusals ---------------------------------------------------------------------------------------------


def test_existing_file_stays_unless_forced(store, tmp_path):
    path = tmp_path / "model.pt2"
    path.write_text("mine")
    command = ["--root", store.root, "export", result(store, "crt").run, path]
    (line,) = failed(1, *command)
    assert line == f"error: {path}: exists already; --force overwrites it"
    assert path.read_text() == "mine"
    ok(*command, "--force")
    assert zipfile.is_zipfile(path)


def test_knn_is_refused_by_name_with_what_can_be_exported(absent, tmp_path):
    command = ["--root", absent.root, "export", result(absent, "knn").run, tmp_path / "model.pt2"]
    (line,) = failed(1, *command)
    assert "knn" in line and "cannot be exported" in line and "every other classifier has" in line
    assert not list(tmp_path.iterdir())


def test_unknown_suffix_names_those_there_are(store, tmp_path):
    (line,) = failed(1, "--root", store.root, "export", result(store, "crt").run, tmp_path / "model.pb")
    assert line.endswith("must end in .onnx or .pt2, which says what is written")


def test_missing_extra_is_named(store, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.partition(".")[0] == "onnx":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    (line,) = failed(1, "--root", store.root, "export", result(store, "crt").run, tmp_path / "m.onnx")
    assert line.endswith("pip install 'longtail[export]'")
    assert not list(tmp_path.iterdir())


def test_a_file_that_scores_otherwise_is_not_written(store, tmp_path, monkeypatch):
    import longtail.pipeline.serve.export as module

    def wrong(model, example, metadata):
        def run(inputs):
            with torch.inference_mode():
                return model(inputs).numpy() * 1.01

        return b"content", run

    monkeypatch.setitem(module.WRITERS, ".pt2", lambda: wrong)
    (line,) = failed(1, "--root", store.root, "export", result(store, "crt").run, tmp_path / "m.pt2")
    assert "not written: its scores differ from torch's by 1.0e-02" in line
    assert not list(tmp_path.iterdir())


def test_difference_is_infinite_where_only_one_side_is():
    model = torch.nn.Linear(3, 2)
    example = torch.zeros(2, 3)

    def masked(inputs):
        scores = model(inputs).detach().numpy()
        scores[:, 1] = -np.inf
        return scores

    assert largest_difference(model, masked, example) == np.inf
    assert largest_difference(model, lambda x: model(x).detach().numpy() * np.nan, example) == np.inf
    assert largest_difference(model, lambda inputs: model(inputs).detach().numpy(), example) < 1e-6


def test_failed_writing_leaves_nothing(store, tmp_path, monkeypatch):
    import longtail.pipeline.files.publish

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(longtail.pipeline.files.publish.os, "fsync", full)
    lines = failed(1, "--root", store.root, "export", result(store, "crt").run, tmp_path / "m.pt2")
    assert "No space left" in lines[-1]
    assert not list(tmp_path.iterdir())
