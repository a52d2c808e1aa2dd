"""The documentation says what the program does: what it shows runs, and its links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docs.generate import BLOCK, refreshed, sections, verbs
from longtail.pipeline.cli import cli
from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.components import KINDS
from longtail.pipeline.config.loading import load_config
from longtail.pipeline.config.recipes import shipped, shipped_folder
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.data import DATASETS
from longtail.stages.data.pictures.preprocessing import Preprocessing
from tests.house.markdown import (
    blocks,
    commands,
    name_of,
    pages,
    parsed,
    printed,
    prose,
    text_of,
    without_program_options,
)

every_page = pytest.mark.parametrize("page", [name_of(page) for page in pages()])


def examples(language: str) -> list:
    """Every block of a language, with its page."""
    return [
        pytest.param(code, id=f"{name_of(page)}-{number}")
        for page in pages()
        for number, code in enumerate(blocks(page.read_text(encoding="utf-8"), language))
    ]


# -- what is generated ------------------------------------------------------------------------------------


@every_page
def test_generated_parts_are_current(page):
    assert refreshed(text_of(page)) == text_of(page), "`make readme` refreshes them"


def test_every_kind_of_component_and_every_section_has_a_table():
    written = {
        match["name"] for page in pages() for match in BLOCK.finditer(page.read_text(encoding="utf-8"))
    }
    expected = {f"components {kind}" for kind in KINDS} | {f"settings {path}".strip() for path in sections()}
    assert written == expected | {"verbs", "commands"}


def test_every_setting_has_a_meaning():
    rows = re.findall(
        r"^\| `([\w.]+)` \| .* \| (.*) \|$", text_of("docs/reference/configuration.md"), re.MULTILINE
    )
    assert len(rows) > 40
    assert not [key for key, meaning in rows if len(meaning.split()) < 3]


def test_a_meaning_written_by_hand_survives_a_refresh():
    text = text_of("docs/reference/configuration.md")
    changed = re.sub(r"(\| `seed` \| .* \| ).*( \|\n)", r"\1by hand\2", text)
    assert changed != text and refreshed(changed) == changed


@pytest.mark.parametrize("verb", verbs(), ids=lambda verb: verb.name)
def test_every_verb_has_help_with_an_example_that_parses(verb):
    (example,) = re.findall(r"Example: (longtail .*)", verb.help)
    words = shlex.split(example)[1:]
    assert words[0] == verb.name and parsed(words) is not None


# -- what is shown ----------------------------------------------------------------------------------------


@every_page
def test_commands_shown_are_ones_the_program_takes(page):
    """Verbs and options exist, recipes too, and settings obey their rules."""
    for words in commands(text_of(page)):
        params, verb = parsed(words), without_program_options(words)[0]
        if verb != words[0]:  # components that only the imported file has are not known here
            continue
        named = params.get("config") or params.get("reference") or (params.get("references") or [None])[0]
        if named in shipped():
            load_config(named, params.get("overrides", ()))
        else:
            assert named is None or named == "pictures.yaml" or verb in ("init", "predict"), words


@every_page
def test_commands_in_the_text_name_verbs_that_exist(page):
    spans = re.findall(r"`longtail ([^`]+)`", prose(text_of(page)))
    words = [re.sub(r"\[?--(root DIR|import MODULE)\]?|-\w\b", "", span).split() for span in spans]
    assert not {first for first, *_ in filter(None, words)} - {*cli.commands, "VERB"}


def test_every_verb_is_shown_somewhere():
    shown = {words[0] for page in pages() for words in commands(page.read_text(encoding="utf-8"))} - {
        "--import"
    }
    assert shown == set(cli.commands)


@pytest.mark.parametrize("block", examples("yaml"))
def test_configurations_shown_are_valid(block, tmp_path):
    """A part of a configuration is laid on the digits recipe."""
    path = tmp_path / "shown.yaml"
    base = shipped_folder() / "digits_lt.yaml"
    path.write_text(block if re.search("^data:", block, re.MULTILINE) else f"base: {base}\n{block}")
    load_config(str(path))


def test_the_configuration_shown_in_full_is_the_digits_recipe(tmp_path):
    path = tmp_path / "shown.yaml"
    path.write_text(blocks(text_of("docs/reference/configuration.md"), "yaml")[0], encoding="utf-8")
    assert load_config(str(path)).minimal() == load_config("digits_lt").minimal()


def test_classifiers_page_names_every_classifier():
    table = text_of("docs/classifiers.md").split("| group | classifiers |")[1].split("\n\n")[0]
    names = re.findall(r"`(\w+)`", "".join(row.split("|")[2] for row in table.splitlines()[1:]))
    assert sorted(names) == sorted(CLASSIFIERS.names())


@pytest.mark.parametrize("example", [e for e in examples("python") if "onnxruntime" not in e.values[0]])
def test_python_examples_run(example, capsys, tmp_path, monkeypatch):
    """All but the one on an exported file, which test_prediction_and_export_run_as_written runs."""
    monkeypatch.chdir(tmp_path)  # for the files they write
    if ".register(" in example:  # registers a component, which is not for the other tests to see
        subprocess.run([sys.executable, "-c", example], check=True, timeout=120)
    else:
        exec(compile(example, "example", "exec"), {"__name__": "example"})


@pytest.fixture(scope="session")
def trained(shared) -> Path:
    """A folder in which README's way from pictures to an exported file has been gone, on tiny pictures."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="the extra `export` is not installed")
    return shared.make("readme_way", go_from_pictures_to_an_exported_file)


@pytest.fixture
def copy_of_trained(trained, tmp_path, monkeypatch) -> Path:
    """A copy of that folder to work in."""
    copy = shutil.copytree(trained, tmp_path / "copy")
    monkeypatch.chdir(copy)
    return copy


def go_from_pictures_to_an_exported_file(folder: Path) -> None:
    """README's commands, in `folder`."""
    rng = np.random.default_rng(0)
    for label, place in (("ant", "pictures/ant"), ("bee", "pictures/bee"), ("", "new")):
        (folder / "path/to" / place).mkdir(parents=True)
        for name in "abcdefghijkl" if label else "a":
            dark = rng.integers(0, 120, (24, 24, 3), np.uint8) + (100 if label == "bee" else 0)
            Image.fromarray(dark.astype(np.uint8)).save(folder / "path/to" / place / f"{name}.png")
    way = [
        words for words in commands(text_of("README.md")) if words[0] == "init" or "pictures.yaml" in words
    ]
    assert [words[0] for words in way] == ["init", "run", "report", "predict", "export"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in way:
            printed(words)
            if words[0] == "init":
                make_small(Path("pictures.yaml"))


def make_small(path: Path) -> None:
    """A configuration that `init` wrote, for an epoch of a small network."""
    settings = strict_yaml.load(path.read_text(encoding="utf-8"))
    settings["representation"] |= {"backbone": "small_cnn", "epochs": 1}
    settings |= {"classifiers": ["joint", "crt"], "system": {"threads": 1, "device": "cpu"}}
    path.write_text(strict_yaml.dump(settings), encoding="utf-8")


def test_readme_way_from_pictures_to_an_exported_file_works(trained):
    assert {path.name for path in trained.iterdir()} >= {"pictures.yaml", "pictures.html", "model.onnx"}


def test_prediction_and_export_run_as_written(copy_of_trained, capsys):
    (copy_of_trained / "model.onnx").unlink()  # README's, by another classifier
    text = text_of("docs/predict-and-export.md")
    outputs = [printed(words) for words in commands(text)]
    assert "path/to/new/a.png" in outputs[0]
    (prediction,) = json.loads(outputs[1])
    assert len(prediction["predictions"]) == 2 and prediction["path"] == "path/to/new/a.png"
    assert outputs[2].startswith("written: model.onnx (crt ")
    (example,) = blocks(text, "python")
    exec(compile(example, "example", "exec"), {})
    assert capsys.readouterr().out.strip() == prediction["predictions"][0]["class"]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("mode", ["rgb", "gray"])
@pytest.mark.parametrize("resize", [None, 15])
@pytest.mark.parametrize("background", ["white", "gray", "#102030", "alpha"])
def test_example_of_an_exported_file_reads_pictures_as_longtail_does(
    tmp_path, mode, kept, resize, background
):
    if resize is None and not kept:
        resize = 12
    (example,) = blocks(text_of("docs/predict-and-export.md"), "python")
    functions: dict = {}
    exec(example.split("\nsession = ")[0].replace("import onnxruntime\n", ""), functions)
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (31, 44, 4), np.uint8)
    Image.fromarray(pixels).save(path)
    shape = Preprocessing(12, 12, resize, mode, kept=kept, mean=[], std=[], background=background)
    expected = np.asarray(shape.reader()(path)).transpose(2, 0, 1)[None] / 255
    np.testing.assert_allclose(functions["prepared"](path, **vars(shape)), expected, rtol=0, atol=1.01 / 255)


def test_features_with_labels_that_were_text_are_read_with_their_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = blocks(text_of("docs/features.md"), "python")
    exec(compile(example, "example", "exec"), {})
    splits = DATASETS.create("feature_arrays", root="features.npz", validation_per_class=0, test_per_class=0)
    assert splits.class_names == ["cat", "dog", "owl"]
    assert splits.class_counts.tolist() == [4, 2, 2]


def test_metadata_described_are_those_of_an_exported_file(trained):
    onnx = pytest.importorskip("onnx")
    written = {entry.key for entry in onnx.load(trained / "model.onnx").metadata_props}
    table = text_of("docs/predict-and-export.md").split("| key | meaning |")[1].split("\n\n")[0]
    assert (
        set(re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:]))) <= written
    )


def test_results_page_describes_every_key_of_a_record_and_every_metric(copy_of_trained):
    record = json.loads(printed(["report", "pictures.yaml", "--format", "json"]))[0]
    page = text_of("docs/results.md")
    for head, keys in (("| metric | meaning |", record["metrics"]), ("| key | holds |", record)):
        rows = page.split(head)[1].split("\n\n")[0].splitlines()[2:]
        assert sorted(re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in rows))) == sorted(keys)


def test_component_of_your_own_is_used_as_written(tmp_path, monkeypatch):
    """In a process of its own: what it registers is not for the other tests to see."""
    text = text_of("docs/components-of-your-own.md")
    (tmp_path / "my_losses.py").write_text(blocks(text, "python")[0], encoding="utf-8")
    small = ["representation.epochs=1", "classifiers=[joint]", "system.threads=1"]
    (words,) = [words for words in commands(text) if "{name: z_loss" in words[-1]]
    command = [sys.executable, "-m", "longtail", *words, *small]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    assert "z_loss" in finished.stdout
