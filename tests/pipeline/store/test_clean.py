"""`clean` removes what nothing needs, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.errors import ConfigError
from longtail.pipeline.files import publish
from longtail.pipeline.files.at_work import at_work, is_at_work
from longtail.pipeline.store.clean import REMOVE, UNTOUCHED, clean, remove, size, sort_out
from longtail.pipeline.store.inventory import FINISHED, FOREIGN, PLAIN, STATE, inventory
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.execute import run_stage_two
from tests.command_line import HEAVY, failed, ok, snapshot
from tests.command_line import SHORT as ONE
from tests.finished_runs import named
from tests.places import CHECKOUT

LEFT = ".weights.safetensors.1-0a1b2c3d.tmp"  # a temporary's name


@pytest.fixture
def used(short_run, copy_of) -> Store:
    """A root with one small finished run, last touched long ago."""
    return Store(age(copy_of(short_run, "root")))


def age(path: Path, seconds: float = UNTOUCHED + 60) -> Path:
    """`path` and everything below as if written so many seconds ago."""
    then = time.time() - seconds
    for each in [path, *path.rglob("*")]:
        os.utime(each, (then, then), follow_symlinks=False)
    return path


def put(path: Path, content: bytes = b"x" * 1000, seconds: float = UNTOUCHED + 60) -> Path:
    """A file written so many seconds ago, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return age(path, seconds)


def only(store: Store, kind: str) -> Path:
    (path,) = (store.root / kind).iterdir()
    return path


def removed(store: Store, **options) -> set[str]:
    """What `clean` removes, relative to the root; what it says it would is the same."""
    before = snapshot(store.root)
    promised = clean(store, dry_run=True, **options)
    assert snapshot(store.root) == before
    text = clean(store, **options)
    after = snapshot(store.root)
    assert {name: after[name] for name in after} == {name: before[name] for name in after}
    gone = before.keys() - after.keys()
    assert promised.replace("would be removed", "removed").replace("would free", "freed") == text
    return gone


# -- what stays ---------------------------------------------------------------------------------------------


def test_finished_run_stays_whole(used):
    assert removed(used) == removed(used, unfinished=True) == set()
    assert clean(used).endswith("freed 0 B")


def test_every_file_of_a_run_is_recognised(used):
    items = inventory(used)
    assert {item.state for item in items} == {FINISHED, STATE}
    assert sum(item.state == FINISHED for item in items) == 4
    total = sum(path.stat().st_size for path in used.root.rglob("*") if path.is_file())
    assert sum(item.bytes for item in items if item.state != STATE) == total
    assert clean(used).startswith(f"{used.root}: {size(total)}\n")


def test_classifiers_outlive_their_features_and_are_still_reported(used):
    shutil.rmtree(used.root / "features")
    shutil.rmtree(used.root / "representations")
    assert removed(used, unfinished=True, states=True) == set()
    assert len(json.loads(ok("--root", used.root, "report", "--format", "json").out)) == 2


def test_what_is_not_ours_is_listed_and_left_alone(used, tmp_path):
    folder = only(used, "representations")
    outside = put(tmp_path / "outside" / "precious.tmp")
    strangers = [
        put(used.root / "notes.txt"), put(used.root / "features" / "notes"), put(folder / "notes.tmp"),
        put(used.root / "features" / "0123" / LEFT), put(used.root / "mine" / LEFT),
    ]  # fmt: skip
    links = [used.root / "classifiers" / "0123456789abcdef", folder / LEFT, used.root / "link"]
    for link in links:
        link.symlink_to(outside if link == folder / LEFT else outside.parent)
        age(link)
    put(used.root / "README.md")
    put(used.root / ".gitignore")
    assert removed(used, unfinished=True, states=False) == set()
    text = clean(used)
    listed = text.split("not ours, left alone")[1].split("\n\n")[0]
    for path in (*strangers[:3], *(p.parent for p in strangers[3:]), *links):
        assert f"  {path.relative_to(used.root)}  " in listed, path
    assert "README.md" not in text and ".gitignore" not in text
    assert outside.read_bytes() == b"x" * 1000 and all(link.is_symlink() for link in links)


def test_orphan_with_a_strange_file_inside_is_kept_and_listed(used):
    shutil.rmtree(used.root / "representations")
    note = put(only(used, "features") / "notes.txt")
    assert removed(used) == set()
    assert "kept: holds files that are not ours" in clean(used) and note.exists()


# -- orphans ------------------------------------------------------------------------------------------------


def test_temporaries_go_once_untouched_for_an_hour(used):
    folders = [used.root, *(only(used, kind) for kind in ("representations", "features"))]
    old = [put(folder / LEFT) for folder in folders]
    new = [put(folder / f".x.9-{'0' * 8}.tmp", seconds=UNTOUCHED - 60) for folder in folders]
    assert removed(used) == {str(path.relative_to(used.root)) for path in old}
    assert all(path.exists() for path in new)
    assert "kept: written within the hour" in clean(used)


def test_a_run_at_work_writes_well_within_the_hour():
    longest = 30
    assert 60 * longest * 2 <= UNTOUCHED
    assert (
        load_config("digits_lt", [f"system.checkpoint_minutes={longest}"]).system.checkpoint_minutes
        == longest
    )
    with pytest.raises(
        ConfigError, match=r"system.checkpoint_minutes: must be a number > 0 and ≤ 30, got 30.5"
    ):
        load_config("digits_lt", ["system.checkpoint_minutes=30.5"])


def test_folders_of_killed_downloads_go_once_untouched_for_an_hour(used, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    old = put(tmp_path / "data" / ".download-abc12345" / "MNIST" / "half.gz")
    new = put(tmp_path / "data" / ".download-xyz12345" / "half.gz", seconds=10)
    other = put(tmp_path / "data" / "MNIST" / "raw" / "whole.gz")
    assert "would be removed, left by killed downloads" in clean(used, dry_run=True) and old.exists()
    text = clean(used)
    assert "  data/.download-abc12345  1.0 kB" in text and text.endswith("freed 1.0 kB")
    assert not old.parents[1].exists() and new.exists() and other.exists()
    assert "downloads" not in clean(used)


def test_a_long_list_of_states_is_shortened(used):
    folder = only(used, "representations")
    for n in range(14):
        put(folder / f"epoch-{n + 100:04d}.state")
    text = clean(used, states=True, dry_run=True)
    shown = [line for line in text.split("would be removed")[1].splitlines() if ".state" in line]
    assert len(shown) == 10 and " and " in text.split("would be removed")[1]


def test_names_that_are_nearly_temporaries_are_not_ours(used):
    names = ["x.1-0a1b2c3d.tmp", ".x.1-0a1b2c3.tmp", ".x.tmp", ".x.a-0a1b2c3d.tmp", ".x.1-0a1b2c3d.tmp.bak"]
    for name in names:
        put(used.root / name)
    assert removed(used) == set()
    assert [i.path.name for i in inventory(used) if i.state == FOREIGN] == sorted(names)


def test_shards_go_once_their_features_are_finished(used):
    key = only(used, "features").name
    shard = put(used.root / "features" / f"{key}.part" / "train.00000.safetensors")
    age(shard.parent)
    other = put(used.root / "features" / "0123456789abcdef.part" / "train.00000.safetensors")
    age(other.parent)
    assert removed(used) == {str(shard.relative_to(used.root))}
    assert not shard.parent.exists() and other.exists()


def test_shards_written_within_the_hour_stay(used):
    key = only(used, "features").name
    put(used.root / "features" / f"{key}.part" / "train.00000.safetensors")
    put(used.root / "features" / f"{key}.part" / "train.00001.safetensors", seconds=10)
    assert removed(used, unfinished=True) == set()


def test_features_go_with_their_representation(used):
    folder = only(used, "features")
    files = {str(path.relative_to(used.root)) for path in folder.iterdir()}
    shutil.rmtree(only(used, "representations"))
    assert "no representation here has the weights" in clean(used, dry_run=True)
    assert removed(used) == files and not folder.exists()


def test_features_stay_while_a_run_may_be_finished_again(used):
    (only(used, "representations") / "DONE").unlink()  # its checkpoints still hold the weights
    assert removed(used) == set()
    for path in only(used, "representations").glob("*.safetensors"):
        content = bytearray(path.read_bytes())
        content[8:60] = b" " * 52  # no header, no weights to tell
        path.write_bytes(content)
        age(path)
    assert {name.split("/")[0] for name in removed(used)} == {"features"}


def test_features_given_as_data_are_no_orphans(used, tmp_path):
    import numpy as np

    np.savez(tmp_path / "f.npz", X=np.eye(40, 8, dtype=np.float32), y=np.arange(40) % 2)
    root = used.root
    ok("--root", root, "run", "features", f"data.root={tmp_path}/f.npz", "classifiers=[ncm]")
    shutil.rmtree(root / "representations")
    age(root)
    gone = removed(used)
    assert {name.split("/")[0] for name in gone} == {"features"}
    (left,) = (root / "features").iterdir()
    assert used.manifest(left.name)["identity"]["tensors"] is None


# -- unfinished results and optimiser states ----------------------------------------------------------------


@pytest.mark.parametrize("last", ["representations/*/DONE", "features/*/manifest.json", "classifiers/*/DONE"])
@pytest.mark.parametrize("damage", [True, False])
def test_unfinished_results_go_only_when_asked(used, last, damage):
    path = named(used.root, last, classifier="ncm")
    path.write_bytes(b"{}") if damage else path.unlink()
    age(path.parent)
    assert removed(used) == set()
    text = clean(used)
    assert "unfinished, kept" in text
    assert f"{path.name} is damaged" in text if damage else f"no {path.name}" in text
    gone = removed(used, unfinished=True)
    assert {str(Path(name).parent) for name in gone} == {str(path.parent.relative_to(used.root))}
    assert not path.parent.exists()


def test_training_curves_are_the_runs_own(used):
    folder = only(used, "representations")
    put(folder / "tensorboard" / "events.out.tfevents.1")
    assert not [item for item in inventory(used) if item.state == FOREIGN]
    (folder / "DONE").unlink()
    age(folder)
    assert f"representations/{folder.name}/tensorboard/events.out.tfevents.1" in removed(
        used, unfinished=True
    )
    assert not folder.exists()


def test_unfinished_result_at_work_within_the_hour_stays(used):
    folder = only(used, "representations")
    (folder / "DONE").unlink()
    put(folder / "history.jsonl", seconds=10)
    assert removed(used, unfinished=True) == set()
    assert "a process may be at work on it" in clean(used, unfinished=True)


def test_removing_a_temporary_does_not_make_its_folder_look_busy(used):
    folder = only(used, "representations")
    (folder / "DONE").unlink()
    put(folder / LEFT)
    assert removed(used) == {str((folder / LEFT).relative_to(used.root))}
    assert removed(used, unfinished=True) and not folder.exists()


def test_states_of_finished_runs_go_only_when_asked_and_the_run_stands(used, digits):
    states = {str(path.relative_to(used.root)) for path in used.root.glob("representations/*/*.state")}
    assert len(states) == 1 and "--states removes them" in clean(used)
    age(used.root, 10)  # a finished run does not write, however young it is
    assert removed(used, states=True) == states
    before = snapshot(used.root)
    run_stage_two(digits(*ONE), used)
    assert snapshot(used.root) == before


def test_states_of_unfinished_runs_stay(used):
    (only(used, "representations") / "DONE").unlink()
    assert removed(used, states=True) == set()


# -- what a living process writes ---------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from longtail.pipeline.files.at_work import at_work
with at_work(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer():
    """``writer(folder)``: a process that is at work in a folder, and stopped."""
    started = []

    def start(folder: Path) -> subprocess.Popen:
        command = [sys.executable, "-c", WRITER, folder]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=CHECKOUT)
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGSTOP)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "place",
    ["representations/0123456789abcdef", "features/0123456789abcdef.part", "classifiers/0123456789abcdef"],
)
def test_what_a_stopped_process_writes_stays_until_it_has_ended(used, writer, place):
    folder = used.root / place
    process = writer(folder)
    old = put(folder / LEFT)
    age(folder)
    if place.startswith("features"):
        put(used.root / "features" / "0123456789abcdef" / "train.X.npy")
        put(used.root / "features" / "0123456789abcdef" / ".val.X.npy.17-0123abcd.tmp")
        age(used.root / "features" / "0123456789abcdef")
    assert removed(used, unfinished=True) == set()
    kept = clean(used, unfinished=True).split("kept: a process that is alive is at work on it")[1]
    assert f"  {place}  " in kept and old.exists()
    process.kill()
    process.wait()
    assert removed(used, unfinished=True) and not folder.exists()
    assert not (used.root / "features" / "0123456789abcdef").exists()


def test_a_process_that_begins_while_clean_looks_keeps_its_folder(used, writer):
    folder = used.root / "representations" / "0123456789abcdef"
    put(folder / "history.jsonl")
    age(folder)
    items = sort_out(inventory(used), now=time.time(), unfinished=True)[REMOVE]
    assert [item.path for item in items] == [folder]
    writer(folder)
    assert remove(used, items) == 0 and folder.exists()


def test_a_paused_run_is_shown_as_paused(used, writer):
    folder = only(used, "representations")
    (folder / "DONE").unlink()
    age(folder)
    assert "state: stopped, 1 epoch done" in ok("--root", used.root, "show", folder.name).out
    writer(folder)
    assert "state: paused, 1 epoch done" in ok("--root", used.root, "show", folder.name).out


def test_work_that_leaves_nothing_leaves_no_folder(tmp_path):
    folder = tmp_path / "root" / "representations" / "0123456789abcdef"
    with pytest.raises(KeyError), at_work(folder):
        assert is_at_work(folder)
        raise KeyError
    assert not (tmp_path / "root").exists() and not is_at_work(folder)
    with at_work(folder), at_work(folder):
        put(folder / "config.yaml")
    assert folder.exists() and not is_at_work(folder)


def test_training_extraction_and_fitting_are_at_work_in_their_folders(tmp_path, digits, monkeypatch):
    held, plain = [], publish.publish

    def watched(path: Path, write) -> None:
        if path.suffix != ".json" or path.name == "result.json":
            held.append(
                (path.parent.parent.name, is_at_work(path.parent) or is_at_work(Path(f"{path.parent}.part")))
            )
        plain(path, write)

    monkeypatch.setattr(publish, "publish", watched)
    run_stage_two(digits(*ONE), Store(tmp_path / "root"))
    assert {kind for kind, _ in held} >= {"representations", "classifiers", "features"}
    assert all(working for _, working in held), held


# -- command and output -------------------------------------------------------------------------------------


def test_bytes_freed_are_those_that_went(used):
    put(used.root / LEFT, b"x" * 1_500_000)
    put(only(used, "features") / LEFT, b"x" * 500_000)
    assert clean(used).endswith("freed 2.0 MB")


def test_file_inside_a_folder_that_goes_is_not_counted_twice(used):
    (only(used, "representations") / "DONE").unlink()
    put(only(used, "representations") / LEFT)
    age(used.root)
    fates = sort_out(inventory(used), now=time.time(), unfinished=True)
    assert [item.path for item in fates[REMOVE]] == [only(used, "representations")]


def test_file_that_goes_by_itself_meanwhile_is_no_error(used, monkeypatch):
    put(used.root / LEFT)
    taken = inventory(used)
    (used.root / LEFT).unlink()
    monkeypatch.setattr("longtail.pipeline.store.clean.inventory", lambda store: taken)
    assert clean(used).endswith("freed 0 B")


def test_command_loads_nothing_heavy(used):
    put(used.root / LEFT)
    put(used.root / "fingerprints.json", b"{}")
    assert [i.state for i in inventory(used) if i.path.name == "fingerprints.json"] == [PLAIN]
    command = [sys.executable, "-c", HEAVY, "--root", used.root, "clean"]
    process = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, timeout=60)
    assert (process.returncode, process.stderr.strip()) == (0, "HEAVY")
    assert process.stdout.endswith("freed 1.0 kB\n") and not (used.root / LEFT).exists()


def test_root_that_is_not_there_is_one_line(tmp_path):
    (line,) = failed(1, "--root", tmp_path / "gone", "clean")
    assert line == f"error: {tmp_path}/gone: no such folder; `longtail run CONFIG` makes one"
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (250_000_000, "250 MB"),
     (7_000_000_000_000_000, "7000 TB")],
)  # fmt: skip
def test_sizes_read_well(count, expected):
    assert size(count) == expected
