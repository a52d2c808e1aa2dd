"""`longtail predict`: pictures and features through a finished classifier, as evaluation had them."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.serve.finished_model import load_finished_model
from longtail.pipeline.store.classifier_files import load_classifier
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.prediction_lines import prediction_lines, printable
from longtail.pipeline.training.splits import load_splits
from longtail.pipeline.work.execute import run_extraction, run_stage_two
from longtail.pipeline.work.feature_cache import load_verified
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.data.pictures.on_disk import ImageFiles
from longtail.stages.data.pictures.preprocessing import Preprocessing
from longtail.stages.features import forward_rows
from tests.command_line import SMALL as DIGITS
from tests.command_line import failed, longtail, ok
from tests.finished_runs import results_by_classifier


@pytest.fixture
def root(digits_run):
    """An output root with the small digits run."""
    return digits_run[0]


@pytest.fixture(scope="session")
def pictures(shared):
    """The digits' test pictures as PNG files, named by their place in the test split."""

    def fill(folder):
        images = load_splits(load_config(*DIGITS[:1], DIGITS[1:])).test.images.numpy()
        for place, image in enumerate(images[:40]):
            Image.fromarray(image[..., 0]).save(folder / f"{place:03d}.png")

    return shared.make("pictures", fill)


def predicted(root, *arguments) -> list[dict]:
    return json.loads(ok("--root", root, "predict", *arguments, "--format", "json").out)


def split_overrides(*words):
    return [*words, *DIGITS[1:]]


def expected(root, classifier) -> np.ndarray:
    """Scores (40, 10) of the cached test features of the pictures."""
    store, result = Store(root), results_by_classifier(root)[classifier]
    return load_classifier(store, result.run).scores(load_verified(store, result.features).test.X[:40])


# -- as evaluation had them -------------------------------------------------------------------------------


@pytest.mark.parametrize("classifier", ["joint", "crt", "lws"])
def test_pictures_get_the_probabilities_of_the_cached_features(root, pictures, classifier):
    predictions = predicted(
        root, "digits_lt", *split_overrides(pictures), "--classifier", classifier, "--top", "10"
    )
    scores = expected(root, classifier).astype(np.float64)
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    assert [one["path"] for one in predictions] == [str(pictures / f"{n:03d}.png") for n in range(40)]
    for row, one in enumerate(predictions):
        values = {p["class"]: p["probability"] for p in one["predictions"]}
        np.testing.assert_allclose([values[str(c)] for c in range(10)], shares[row], rtol=1e-3, atol=1e-5)
        assert one["predictions"][0]["class"] == str(shares[row].argmax())


def test_scores_that_are_no_logits_are_not_made_probabilities(root, pictures):
    command = ["predict", "digits_lt", *split_overrides(pictures / "003.png"), "--classifier", "ncm"]
    outcome = ok("--root", root, *command, "--format", "json")
    (one,) = json.loads(outcome.out)
    scores = expected(root, "ncm")[3]
    np.testing.assert_allclose([p["score"] for p in one["predictions"]], np.sort(scores)[::-1][:5], rtol=1e-3)
    assert "distances or votes, not probabilities" in outcome.err


def write_folder(folder, size=(30, 22)):
    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (folder / name).mkdir(parents=True)
        for n in range(10):
            low = rng.integers(0, 200, (6, 8, 3), np.uint8)
            Image.fromarray(low).resize(size).save(folder / name / f"{n}.png")


@pytest.mark.parametrize(
    "settings", [["in_memory: true", "mode: gray", "resize: 20"], ["in_memory: true"], ["in_memory: false"]]
)
def test_every_reader_of_pictures_is_the_one_that_evaluates(tmp_path, settings):
    write_folder(tmp_path / "set")
    path = tmp_path / "set.yaml"
    data = ", ".join(["name: image_folder", f"root: {tmp_path}/set", "image_size: 16", *settings])
    path.write_text(
        f"data: {{{data}}}\nrepresentation: {{epochs: 1, batch_size: 8}}\nclassifiers: [joint]\n"
        "system: {threads: 1, workers: 1, device: cpu}\n"
    )
    config, store = load_config(str(path)), Store(tmp_path / "root")
    (result,) = run_stage_two(config, store)
    deployed, test = load_finished_model(store, result), load_splits(config).test
    names = sorted((tmp_path / "set").rglob("*.png"))
    read = deployed.preprocessing.reader()
    scores = deployed.scores(np.stack([read(name) for name in names]), "cpu")
    features = load_verified(store, run_extraction(config, store)).test
    direct = load_classifier(store, result.run).scores(features.X)
    for row in range(len(test)):  # each test picture is one of the files
        assert np.isclose(scores, direct[row], rtol=1e-4, atol=1e-5).all(1).any()
    if isinstance(test, ImageFiles):
        assert np.isclose(
            forward_rows(deployed.backbone, test, np.arange(len(test))), features.X, atol=1e-6
        ).all()


def test_pictures_fill_what_a_data_set_of_another_shape_has(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(6, 4) * 10
    Image.fromarray(values.repeat(3, 0).repeat(3, 1)).save(tmp_path / "large.png")
    shape = Preprocessing(6, 4, None, "gray", kept=True, mean=[0.0], std=[255.0])
    pixels = shape.reader()(tmp_path / "large.png")
    assert pixels.shape == (6, 4, 1)
    assert np.abs(pixels[1:-1, 1:-1, 0].astype(int) - values[1:-1, 1:-1]).max() <= 1


# -- which classifier -------------------------------------------------------------------------------------


def test_best_on_validation_is_taken_and_logged(root, pictures):
    outcome = ok("--root", root, "predict", "digits_lt", *split_overrides(pictures / "000.png"))
    results = results_by_classifier(root)
    scored = {name: r.metrics["val"]["balanced_accuracy"] for name, r in results.items()}
    best = max(scored, key=scored.get)
    assert f"classifier {best} {results_by_classifier(root)[best].run}" in outcome.err
    assert outcome.out.startswith(f"{best} {results_by_classifier(root)[best].run}")


def test_a_run_is_found_by_directory_id_and_classifier_id(root, pictures):
    one = results_by_classifier(root)["crt"]
    picture = pictures / "000.png"
    wanted = predicted(root, "digits_lt", *split_overrides(picture), "--classifier", "crt")
    for reference in (
        root / "representations" / one.representation,
        one.representation[:9],
        one.features,
    ):
        assert predicted(root, reference, picture, "--classifier", "crt") == wanted
    assert predicted(root, one.run[:12], picture) == wanted
    by_id = ["--classifier", one.run[:12]]
    assert predicted(root, "digits_lt", *split_overrides(picture), *by_id) == wanted


def test_several_parameterisations_are_listed_with_their_ids(copy_of, pictures, root):
    root = copy_of(root)
    specs = "classifiers=[{name: ncm, feature: none}, {name: ncm, feature: l2}, joint]"
    ok("--root", root, "classify", *DIGITS, specs)
    plain = next(r for r in Store(root).results() if r.params == {"feature": "none"})
    here = ["--root", root, "predict"]
    (line,) = failed(1, *here, plain.representation, pictures / "000.png", "--classifier", "ncm")
    assert "fits 3 finished classifiers" in line
    assert f"ncm {plain.run} (feature=none)" in line
    # a config's own ncm is the one it names
    ok(*here, "digits_lt", *split_overrides(pictures / "000.png"), "--classifier", "ncm")
    by_id = predicted(root, plain.representation, pictures / "000.png", "--classifier", plain.run)
    assert len(by_id) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits_lt", "{picture}"], "digits_lt: has no finished run under"),
        (["nonsense", "{picture}"], "no such configuration"),
        (["{run}", "{picture}", "--classifier", "crd"], "no finished classifier 'crd'; did you mean 'crt'?"),
        (["{run}", "gone.png"], "gone.png: no such picture or folder"),
        (["{run}", "/dev/null"], "/dev/null: must be a picture or a folder, is a device"),
        (["{run}", "~nosuchuser/a.png"], "~nosuchuser/a.png: ~nosuchuser is nobody's home folder here"),
        (["/dev/zero", "{picture}"], "/dev/zero: no such configuration file or recipe; it is a device"),
        (["{run}", "{empty}"], "holds no picture"),
        (["{run}", "{features}"], "was trained on pictures (digits); name pictures"),
    ],
)
def test_what_cannot_be_is_one_line(root, pictures, tmp_path, arguments, message):
    np.save(tmp_path / "features.npy", np.ones((2, 64), np.float32))
    (tmp_path / "empty").mkdir()
    places = {
        "picture": pictures / "000.png",
        "run": results_by_classifier(root)["crt"].representation,
        "features": tmp_path / "features.npy",
        "empty": tmp_path / "empty",
    }
    status = 2 if "no such configuration" in message else 1
    lines = failed(status, "--root", root, "predict", *[word.format(**places) for word in arguments])
    assert any(message in line for line in lines)
    assert sum(line.startswith("error:") for line in lines) == 1


def test_missing_features_and_weights_are_named(digits, store, pictures):
    run_stage_two(digits("classifiers=[joint]"), store)
    (result,) = store.results()
    command = ["--root", store.root, "predict", result.run, pictures / "000.png"]
    ok(*command)
    weights = store.folder("representations", result.representation) / "epoch-0002.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-9])
    assert re.search(r"damaged \(.*; `longtail extract CONFIG --fresh` makes it", failed(1, *command)[-1])
    weights.unlink()
    assert "lacks its weights" in failed(1, *command)[-1]
    weights.write_bytes(whole)
    (store.folder("features", result.features) / "manifest.json").unlink()
    assert "`longtail extract CONFIG` makes it again" in failed(1, *command)[-1]


# -- what cannot be read ----------------------------------------------------------------------------------


def test_unreadable_pictures_are_named_and_the_others_predicted(root, pictures, tmp_path):
    (tmp_path / "a.png").write_bytes((pictures / "000.png").read_bytes())
    (tmp_path / "b.png").write_bytes(b"no picture")
    (tmp_path / "c.png").write_bytes((pictures / "001.png").read_bytes()[:40])
    (tmp_path / "d.png").write_bytes((pictures / "001.png").read_bytes())
    run = results_by_classifier(root)["crt"].run
    outcome = longtail("--root", root, "predict", run, tmp_path, "--format", "json")
    assert outcome.status == 1
    assert [one["path"] for one in json.loads(outcome.out)] == [str(tmp_path / n) for n in ("a.png", "d.png")]
    lines = outcome.err.splitlines()
    assert [line for line in lines if "cannot be read" in line and "b.png" in line]
    assert [line for line in lines if "cannot be read" in line and "c.png" in line]
    assert lines[-1] == "error: 2 of 4 pictures could not be read; they are named above"


def test_big_folders_go_through_in_batches(root, pictures, monkeypatch):
    import longtail.stages.features

    run, whole = results_by_classifier(root)["crt"].run, None
    for batch in (512, 7):
        monkeypatch.setattr(longtail.stages.features, "BATCH", batch)
        predictions = predicted(root, run, pictures)
        paths = [[p["class"] for p in one["predictions"]] for one in predictions]
        assert len(predictions) == 40 and (whole is None or paths == whole)
        whole = paths


# -- features ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def feature_root(shared):
    def fill(folder):
        X, y = load_digits(return_X_y=True)
        np.savez(folder / "digits.npz", X=X[:600].astype(np.float32), y=y[:600])
        np.save(folder / "new.npy", X[600:610].astype(np.float32))
        data = f"data.root={folder}/digits.npz"
        ok("--root", folder / "root", "run", "features", data, "classifiers=[crt]")

    return shared.make("feature_root", fill)


def test_features_get_a_row_each(feature_root):
    root = feature_root / "root"
    (result,) = Store(root).results()
    predictions = predicted(root, result.run, feature_root / "new.npy", "--top", "2")
    assert [one["row"] for one in predictions] == list(range(10))
    scores = load_classifier(Store(root), result.run).scores(np.load(feature_root / "new.npy"))
    assert [one["predictions"][0]["class"] for one in predictions] == [str(c) for c in scores.argmax(1)]
    assert all(len(one["predictions"]) == 2 for one in predictions)


def test_features_that_do_not_fit_are_refused(feature_root, tmp_path):
    root = feature_root / "root"
    (result,) = Store(root).results()
    bad = np.ones((5, 64), np.float32)
    bad[3, 2] = np.nan
    for array, message in (
        (np.ones((3, 9), np.float32), "9 features a row, the classifier was fitted on 64"),
        (bad, "features must be finite, rows 3 are not"),
        (np.array([{}], dtype=object), "cannot be read as an array"),
    ):
        np.save(tmp_path / "x.npy", array, allow_pickle=True)
        assert message in failed(1, "--root", root, "predict", result.run, tmp_path / "x.npy")[-1]
    with open(tmp_path / "x.npy", "wb") as file:
        np.savez(file, X=bad)
    (line,) = failed(1, "--root", root, "predict", result.run, tmp_path / "x.npy")
    assert "an archive of arrays, not one" in line
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    (line,) = failed(1, "--root", root, "predict", result.run, tmp_path / "x.png")
    assert "was fitted on feature arrays" in line and "pictures cannot" in line


def test_a_class_never_seen_is_never_named(tmp_path):
    X, y = load_digits(return_X_y=True)
    np.savez(
        tmp_path / "digits.npz",
        X_train=X[:300], y_train=np.where(y[:300] == 3, 4, y[:300]),
        X_val=X[300:400], y_val=y[300:400], X_test=X[400:500], y_test=y[400:500],
    )  # fmt: skip
    np.save(tmp_path / "new.npy", X[500:520])
    root = tmp_path / "root"
    ok("--root", root, "run", "features", f"data.root={tmp_path}/digits.npz", "classifiers=[crt, ncm]")
    for name in ("crt", "ncm"):
        predictions = predicted(
            root, "features", f"data.root={tmp_path}/digits.npz", "classifiers=[crt, ncm]",
            tmp_path / "new.npy", "--top", "99", "--classifier", name,
        )  # fmt: skip
        for one in predictions:
            names = [p["class"] for p in one["predictions"]]
            assert sorted(names) == [str(c) for c in range(10) if c != 3]


# -- text -------------------------------------------------------------------------------------------------

SOME = [("a.png", ["cat", "dog|wolf"], [0.75, 0.25]), ("x,y.png", ["dog|wolf", "cat"], [0.5, 0.5])]
FORM = {
    "title": "crt 01",
    "unit": "probability",
    "names": ["a.png", "x,y.png"],
    "classes": ["cat", "dog|wolf"],
}


def test_formats_say_the_same():
    table = list(prediction_lines(SOME, "table", **FORM))
    assert table[0] == "crt 01"
    assert table[3].split() == ["a.png", "cat", "0.75", "dog|wolf", "0.25"]
    assert table[3].index("dog|wolf") == table[4].index("cat")
    rows = list(csv.DictReader(io.StringIO("\n".join(prediction_lines(SOME, "csv", **FORM)))))
    assert rows[2] == {"path": "x,y.png", "rank": "1", "class": "dog|wolf", "probability": "0.5"}
    predictions = json.loads("\n".join(prediction_lines(SOME, "json", **FORM)))
    assert predictions[0] == {
        "path": "a.png",
        "predictions": [{"class": "cat", "probability": 0.75}, {"class": "dog|wolf", "probability": 0.25}],
    }
    markdown = list(prediction_lines(SOME, "markdown", **FORM))
    assert markdown[2:5] == ["| path | 1 | 2 |", "|---|---|---|", "| a.png | cat 0.75 | dog\\|wolf 0.25 |"]
    assert json.loads("\n".join(prediction_lines([], "json", **FORM))) == []


def test_names_that_are_no_text_are_printed_all_the_same():
    name = b"\xff\n.png".decode("utf-8", "surrogateescape")
    assert printable(name) == "?\\u000a.png"
    assert "?\\u000a.png" in "\n".join(
        prediction_lines([(name, ["cat"], [1.0])], "table", **{**FORM, "names": [name]})
    )


def test_data_keeps_a_file_name_as_it_is():
    for name in ("a\tb\n.png", "größe.png", b"\xff\n.png".decode("utf-8", "surrogateescape")):
        text = "\n".join(prediction_lines([(name, ["cat"], [1.0])], "json", **FORM))
        assert json.loads(text.encode("utf-8"))[0]["path"] == name
    rows = list(
        csv.DictReader(
            io.StringIO("\n".join(prediction_lines([("a\tb\n.png", ["cat"], [1.0])], "csv", **FORM)))
        )
    )
    assert rows[0]["path"] == "a\tb\n.png"


def test_predicting_needs_no_training_data(tmp_path, root, pictures, monkeypatch):
    from longtail.pipeline.config.components import registry

    def gone(*_, **__):
        raise AssertionError("the data set was opened")

    monkeypatch.setattr(type(registry("datasets")), "create", gone)
    assert predicted(root, results_by_classifier(root)["crt"].run, pictures / "000.png")


@pytest.mark.parametrize("name", [n for n in CLASSIFIERS.names() if n != "resampled"])
def test_every_classifier_predicts(root, copy_of, pictures, name):
    root = copy_of(root)
    ok("--root", root, "classify", *DIGITS, f"classifiers=[{name}]")
    predictions = predicted(
        root,
        "digits_lt",
        *split_overrides(pictures),
        f"classifiers=[{name}]",
        "--classifier",
        name,
        "--top",
        "1",
    )
    scores = expected(root, name)
    agree = [
        one["predictions"][0]["class"] == str(s.argmax()) for one, s in zip(predictions, scores, strict=True)
    ]
    assert np.mean(agree) == 1
