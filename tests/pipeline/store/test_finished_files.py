"""A finished run answers for every file that is read of it, and an odd entry blocks nothing but itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from longtail.pipeline.files.checked_json import with_checksum
from longtail.pipeline.store.run_records import CONFIG, HISTORY, PROVENANCE, RUN_FILES
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.run_files import mend_run_files
from tests.command_line import SHORT, Outcome, failed, ok
from tests.finished_runs import named, results_by_classifier

RUN = ("digits_lt", *SHORT)


@pytest.fixture
def root(short_run, copy_of) -> Path:
    """A finished run of one epoch with two classifiers."""
    return copy_of(short_run, "root")


@pytest.fixture
def run(root) -> Path:
    """Its representation's folder."""
    return named(root, "representations/*")


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert re.search(old, text), f"{path} has no {old}"
    path.write_text(re.sub(old, new, text, count=1))


def rewrite_done(folder: Path, /, **changes) -> None:
    """``DONE`` with other entries (None: without it) and a checksum that is right."""
    record = json.loads((folder / "DONE").read_bytes()) | changes
    del record["check"]
    record = {key: value for key, value in record.items() if value is not None}
    (folder / "DONE").write_text(json.dumps(with_checksum(record)))


def make_older(folder: Path) -> None:
    """``DONE`` as it was before it listed the run's files and its folder."""
    files = json.loads((folder / "DONE").read_bytes())["files"]
    rewrite_done(folder, folder=None, files={k: v for k, v in files.items() if k not in RUN_FILES})


def show(root: Path, folder: Path) -> Outcome:
    return ok("--root", root, "show", folder.name)


# -- what DONE answers for ----------------------------------------------------------------------------------


def test_done_lists_every_file_a_run_leaves_and_its_own_folder(run, root):
    done = json.loads((run / "DONE").read_bytes())
    kept = {path.name for path in run.iterdir()} - {"DONE"}
    assert set(done["files"]) == {name for name in kept if not name.endswith(".state")}
    assert done["folder"] == f"representations/{run.name}"
    for folder in (root / "classifiers").iterdir():
        assert json.loads((folder / "DONE").read_bytes())["folder"] == f"classifiers/{folder.name}"


def test_changed_history_is_named_and_not_shown(root, run):
    assert "validation balanced accuracy" in show(root, run).out
    change(run / HISTORY, r'"balanced_accuracy": 0\.', '"balanced_accuracy": 0.9')
    outcome = show(root, run)
    assert f"warning: {run / HISTORY}: its SHA-256 is not the one recorded" in outcome.err
    assert "state: finished, 1 epoch" in outcome.out and "balanced accuracy" not in outcome.out


def test_changed_settings_are_named_and_neither_shown_nor_predicted_with(root, run, tmp_path):
    path = run / CONFIG
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    outcome = show(root, run)
    assert f"warning: {path}: its SHA-256" in outcome.err and "settings: damaged" in outcome.out
    (line,) = failed(1, "--root", root, "predict", run.name, picture(tmp_path), "--classifier", "ncm")
    assert line.startswith(f"error: {path}: its SHA-256") and "`longtail represent CONFIG` writes" in line


def picture(folder: Path) -> Path:
    from PIL import Image

    Image.new("L", (8, 8)).save(folder / "one.png")
    return folder / "one.png"


@pytest.mark.parametrize("file", [CONFIG, HISTORY])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"\xff\0{")])
def test_settings_and_history_are_written_again_by_the_same_command(root, run, tmp_path, file, damage):
    content = (run / file).read_bytes()
    damage(run / file)
    outcome = ok("--root", root, "extract", *RUN)
    assert f"{run / file}: " in outcome.err and "it is written again" in outcome.err
    assert same_records((run / file).read_bytes(), content)
    assert "warning" not in ok("--root", root, "extract", *RUN).err + show(root, run).err
    if file == CONFIG:
        assert ok("--root", root, "predict", run.name, picture(tmp_path), "--classifier", "ncm").out


def same_records(one: bytes, other: bytes) -> bool:
    """Whether two files hold the same YAML, or the same JSON on each line."""
    if one.startswith(b"{"):
        return [json.loads(line) for line in one.splitlines()] == [*map(json.loads, other.splitlines())]
    return one == other


def test_changed_provenance_cannot_be_made_again_and_says_so(root, run):
    change(run / PROVENANCE, '"cores": ', '"cores": 9')
    err = ok("--root", root, "represent", *RUN).err
    assert f"{run / PROVENANCE}: its SHA-256" in err and "--fresh` would make it again" in err
    assert Store(root).done("representations", run.name) is not None


def test_a_file_that_cannot_be_written_again_does_not_stop_what_is_finished(root, run, digits, monkeypatch):
    (run / CONFIG).unlink()

    def refused(*_):
        raise PermissionError(13, "Permission denied", str(run / CONFIG))

    monkeypatch.setattr(Store, "replace", refused)
    mend_run_files(digits(*SHORT), Store(root), run.name)
    assert not (run / CONFIG).exists() and Store(root).done("representations", run.name)


def test_without_its_state_a_history_is_only_named(root, run):
    (run / HISTORY).unlink()
    for state in run.glob("*.state"):
        state.unlink()
    assert "only `longtail represent CONFIG --fresh`" in ok("--root", root, "represent", *RUN).err
    assert not (run / HISTORY).exists()


def test_an_older_run_is_accepted_and_says_what_is_not_verified(root, run):
    make_older(run)
    for folder in (root / "classifiers").iterdir():
        rewrite_done(folder, folder=None)
    outcome = show(root, run)
    assert not outcome.err
    assert (
        "not verified: config.yaml, provenance.json, history.jsonl; this run's DONE does not" in outcome.out
    )
    assert set(results_by_classifier(root)) == {"joint", "ncm"}
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert not ok("--root", root, "--quiet", "run", *RUN).err
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


@pytest.mark.parametrize("content", [None, b"", b"representation: 3\n", b"\xff", b"[" * 2000])
def test_an_older_run_whose_settings_are_lost_gets_them_again(root, run, content):
    make_older(run)
    whole = (run / CONFIG).read_bytes()
    (run / CONFIG).unlink() if content is None else (run / CONFIG).write_bytes(content)
    assert "it is written again" in ok("--root", root, "represent", *RUN).err
    assert (run / CONFIG).read_bytes() == whole
    assert "not verified: provenance.json, history.jsonl; " in show(root, run).out


def test_going_on_with_a_run_puts_its_damaged_settings_right_first(root, run):
    whole = (run / CONFIG).read_bytes()
    (run / "DONE").unlink()
    (run / CONFIG).write_bytes(whole[: len(whole) // 2])
    ok("--root", root, "represent", *RUN)
    assert (run / CONFIG).read_bytes() == whole and "warning" not in show(root, run).err


@pytest.mark.parametrize("older", [False, True])
def test_classifiers_whose_folders_were_swapped_are_not_used(root, older):
    one, two = sorted((root / "classifiers").iterdir())
    if older:
        rewrite_done(one, folder=None), rewrite_done(two, folder=None)
    one.rename(root / "x"), two.rename(one), (root / "x").rename(two)
    outcome = ok("--root", root, "show", one)
    assert "not finished" in outcome.out and "belongs to another" in outcome.err and str(one) in outcome.err
    assert results_by_classifier(root) == {}


def test_a_representation_in_the_folder_of_another_is_not_used(root, run):
    other = run.rename(run.with_name("0123456789abcdef"))
    assert Store(root).done("representations", other.name) is None


# -- records that are not what they should be ---------------------------------------------------------------


@pytest.mark.parametrize("content", ["[1]", '"environment"', "null", '{"command": [1]}', '{"cores": "2"}'])
def test_provenance_of_another_shape_is_named(root, run, content, digits):
    from longtail.pipeline.training.continuation import check_init

    make_older(run)
    (run / PROVENANCE).write_text(content)
    further = digits(*SHORT, "representation.epochs=3", f"representation.init={run}")
    assert check_init(further, Store(root)) == run.name
    page = root.parent / "page.html"
    assert f"{run / PROVENANCE}: " in ok("--root", root, "report", "--html", page).err and page.exists()


@pytest.mark.parametrize(
    "line", ['{"epoch": 1', "[]", "3", '{"epoch": "1"}', "[" * 100_000, '{"epoch": %s}' % ("9" * 5000)]
)
def test_a_line_that_is_no_epoch_is_named_with_its_file(root, run, line):
    make_older(run)
    (run / HISTORY).write_text(line)
    outcome = show(root, run)
    assert f"warning: {run / HISTORY}: " in outcome.err and "state: finished" in outcome.out


@pytest.mark.parametrize("content", [b"\xff\xfe\0", b"a: [1", b"a: 'b", b"[" * 5000])
def test_settings_that_cannot_be_read_are_named_with_their_file(root, run, content, tmp_path):
    (run / "DONE").unlink()
    (run / CONFIG).write_bytes(content)
    assert str(run / CONFIG) in show(root, run).err
    make = tmp_path / "binary.yaml"
    make.write_bytes(content)
    assert make.name in failed(2, "--root", root, "show", make)[0]


@pytest.mark.parametrize(
    "changes", [{"files": {}}, {"files": []}, {"classifier": None}, {"files": {"../../x": "y"}}, {"x": 1}]
)
def test_done_that_lacks_or_strays_is_named_and_the_others_are_reported(root, changes):
    folder = named(root, "classifiers/*", classifier="ncm")
    rewrite_done(folder, **changes)
    outcome = ok("--root", root, "report", "--format", "json")
    if "x" in changes:
        assert not outcome.err
    else:
        assert f"warning: {folder}/DONE: " in outcome.err
        (line,) = failed(1, "--root", root, "predict", folder.name, "x.png")[-1:]
        assert folder.name in line
    assert "joint" in {record["classifier"] for record in json.loads(outcome.out)}
    ok("--root", root, "clean")


def test_predictions_that_done_does_not_list_are_named(root):
    from longtail.pipeline.errors import Damaged
    from longtail.pipeline.store.classifier_files import load_predictions

    folder = named(root, "classifiers/*", classifier="ncm")
    files = json.loads((folder / "DONE").read_bytes())["files"]
    rewrite_done(folder, files={"result.json": files["result.json"]})
    with pytest.raises(Damaged, match=r"DONE: does not list predictions\.safetensors"):
        load_predictions(Store(root), folder.name)


# -- entries of every kind ----------------------------------------------------------------------------------


def make_socket(path: Path) -> None:
    before = os.getcwd()
    os.chdir(path.parent)  # a socket's path has to be short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(before)


def make_large(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(2**40)


ENTRIES: dict[str, Callable[[Path], object]] = {
    "folder": Path.mkdir,
    "FIFO": os.mkfifo,
    "socket": make_socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "link loop": lambda path: path.symlink_to(path.name),
    "dangling link": lambda path: path.symlink_to("gone"),
    "enormous": make_large,
    "deep": lambda path: path.write_text("[" * 100_000),
    "long number": lambda path: path.write_text('{"check": %s}' % ("7" * 5000)),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "empty": Path.touch,
}
FILES = [
    ("classifiers", "DONE"), ("classifiers", "result.json"), ("representations", "DONE"),
    ("representations", CONFIG), ("representations", HISTORY), ("features", "manifest.json"),
]  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_in_place_of_a_file_is_named_and_blocks_nothing_else(root, entry):
    """Each of the files is replaced in turn: every reading verb goes on, and names that file and no other."""
    for kind, file in FILES:
        folder = named(root, f"{kind}/*", classifier="ncm")
        aside = (folder / file).rename(root.parent / "aside")
        ENTRIES[entry](folder / file)
        reported = ok("--root", root, "report", "--format", "json")
        assert "joint" in reported.out, (kind, file)
        shown, cleaned = show(root, folder), ok("--root", root, "clean", "--unfinished", "--dry-run")
        assert str(folder / file) in shown.err and shown.out.startswith(str(folder)), (kind, file)
        assert shown.err.count(str(folder / file)) == 1
        assert file in (CONFIG, HISTORY, "result.json") or folder.name in cleaned.out, (kind, file)
        if kind == "classifiers":
            assert reported.err.count(str(folder / file)) == 1
        shutil.rmtree(folder / file) if entry == "folder" else (folder / file).unlink()
        aside.rename(folder / file)


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_in_place_of_a_result_or_beside_it_blocks_nothing(root, entry):
    places = ("x", "classifiers/0123456789abcdef", "features/0123456789abcdef.part")
    odd = [*places, "representations/0123456789abcdef", os.fsdecode(b"classifiers/\xff")]
    for place in odd:
        ENTRIES[entry](root / place)
    reported = ok("--root", root, "report", "--format", "json")
    assert len(json.loads(reported.out)) == 2
    named_once = reported.err.count("classifiers/0123456789abcdef")
    assert named_once == (entry != "folder")
    cleaned = ok("--root", root, "clean").out
    assert "classifiers/?" in cleaned and "representations/0123456789abcdef" in cleaned


@pytest.mark.parametrize("kind", ["classifiers", "representations", "features"])
def test_a_folder_of_results_that_is_something_else_holds_none(root, kind):
    shutil.rmtree(root / kind)
    os.mkfifo(root / kind)
    shown = ok("--root", root, "clean").out
    assert f"  {kind} " in shown.split("not ours, left alone")[1]
    if kind == "classifiers":
        assert "no finished run" in failed(1, "--root", root, "report")[0]
    else:
        assert "joint" in ok("--root", root, "report").out


def refuse(monkeypatch, path: Path) -> None:
    """As for somebody else than root: what lies at `path` may not be opened."""
    plain_open, plain_scandir = os.open, os.scandir

    def checked(plain):
        def call(asked=".", *args, **options):
            if isinstance(asked, str | Path) and os.path.abspath(asked) == str(path):
                raise PermissionError(13, "Permission denied", str(asked))
            return plain(asked, *args, **options)

        return call

    monkeypatch.setattr(os, "open", checked(plain_open))
    monkeypatch.setattr(os, "scandir", checked(plain_scandir))
    monkeypatch.setattr(os, "listdir", checked(os.listdir))


@pytest.mark.parametrize("file", ["DONE", "result.json"])
def test_a_file_of_somebody_else_is_named_and_blocks_nothing_else(root, file, monkeypatch):
    path = named(root, f"classifiers/*/{file}", classifier="ncm")
    refuse(monkeypatch, path)
    outcome = ok("--root", root, "report", "--format", "json")
    assert len(json.loads(outcome.out)) == 1
    assert f"{path}: cannot be read (Permission denied); it is not used" in outcome.err
    assert str(path) in show(root, path.parent).err and ok("--root", root, "clean")


def test_a_folder_of_somebody_else_is_named_and_blocks_nothing_else(root, monkeypatch):
    refuse(monkeypatch, root / "features")
    outcome = ok("--root", root, "clean")
    assert f"warning: {root}/features: Permission denied" in outcome.err
    assert "representations/" in outcome.out


def test_a_classifier_without_its_result_is_named_with_the_reason(root):
    folder = named(root, "classifiers/*", classifier="ncm")
    (folder / "result.json").unlink()
    assert f"warning: {folder}/result.json: is missing; it is not used" in ok("--root", root, "report").err
