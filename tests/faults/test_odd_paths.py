"""Commands told to write over their inputs or to use what is no file: one line, no harm, no hang."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.faults.processes import assert_one_line_error, run
from tests.faults.roots import copy
from tests.faults.sizes import full_only
from tests.finished_runs import named

pytestmark = full_only


@pytest.fixture
def home(whole, tmp_path) -> Path:
    """A folder with a finished root, a configuration, pictures, a list of them, features and odd files."""
    copy(whole.root, tmp_path / "root", ("representations", "features", "classifiers"))
    (tmp_path / "mine.yaml").write_text("data: digits\n")
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for n in range(6):
            Image.new("L", (8, 8), 20 * n).save(tmp_path / "pictures" / name / f"{n}.png")
    (tmp_path / "list.txt").write_text(
        "".join(f"{c}/{n}.png {k}\n" for k, c in enumerate("ab") for n in "012")
    )
    np.savez(tmp_path / "x.npz", X=np.ones((12, 3), np.float32), y=np.arange(12) % 3)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("mine.yaml")
    return tmp_path


def contents(folder: Path) -> dict[str, tuple]:
    """Of everything below a folder its kind and content; links and special files by themselves."""
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


DEVICES = ("/dev/null", "/dev/full", "/dev/zero")


def test_outputs_replace_neither_inputs_nor_devices(home, whole, survey):
    done = named(home / "root", "representations/*/DONE")
    features = named(home / "root", "features/*/train.X.npy")
    targets = [home / name for name in ("mine.yaml", "link", "x.npz", "list.txt", "pictures/a/0.png", "fifo")]
    targets += [done, features, *DEVICES]
    settings = whole.command[1:]
    verbs = {
        "report": lambda path: ["report", *settings, "--html", path],
        "ablate": lambda path: ["ablate", *settings, "--html", path],
        "init": lambda path: ["init", home / "pictures", "--output", path],
    }
    points = [(verb, path, force) for verb in verbs for path in targets for force in (False, True)]
    points = [p for p in points if not p[2] or str(p[1]).startswith("/dev/") or p[1].name == "fifo"]
    before = contents(home)

    def check(point: tuple) -> None:
        verb, path, force = point
        devices = [os.lstat(device) for device in DEVICES]
        found = run(home / "root", [*verbs[verb](path), *["--force"] * force])
        said = assert_one_line_error(found, 1)
        assert str(path) in said
        assert contents(home) == before
        after = [os.lstat(device) for device in DEVICES]
        assert [(d.st_ino, d.st_rdev) for d in after] == [(d.st_ino, d.st_rdev) for d in devices]

    survey("output onto an input, a FIFO, a device", points, check)


def test_inputs_that_are_no_files_end_in_one_line(home, survey):
    fifo = home / "fifo"
    folder = home / "odd"
    folder.mkdir()
    os.mkfifo(folder / "train.X.npy")
    np.save(folder / "train.y.npy", np.arange(12) % 3)
    endless = home / "endless"
    endless.mkdir()
    (endless / "train.X.npy").symlink_to("/dev/zero")
    np.save(endless / "train.y.npy", np.arange(12) % 3)
    (home / "binary.yaml").write_bytes(bytes(range(256)))
    (home / "passwd.yaml").write_text("base: /etc/passwd\n")
    odd = (fifo, "/dev/zero", home / "binary.yaml")
    commands = [
        *([verb, path] for verb in ("show", "run", "report") for path in odd),
        ["run", home / "passwd.yaml"],
        ["run", "digits_lt", f"representation.weights={fifo}"],
        ["run", "features", f"data.root={folder}"],
        ["run", "features", f"data.root={endless}"],
        ["run", "features", f"data.root={fifo}"],
        ["run", "image_folder", "data.root=~nosuchuser/x"],
        ["predict", "digits_lt", fifo],
        ["init", fifo],
    ]

    def check(command: list) -> None:
        said = assert_one_line_error(run(home / "empty", command), 1, 2)
        assert "root:x" not in said and len(said) < 1000

    survey("input that is no file", commands, check)


def test_roots_that_are_no_folders_are_named(home, whole, survey):
    (home / "gone-link").symlink_to("gone")
    roots = ["/dev/null", home / "fifo", home / "gone-link", home / "mine.yaml", "/proc/longtail"]
    roots += [f"{root}/below" for root in roots]

    def check(root: Path | str) -> None:
        found = run(home / "root", ["--root", str(root), *whole.command])
        assert str(root).removesuffix("/below") in found.err and found.status in (1, 2), found.err
        assert "Traceback" not in found.err

    survey("root that is no folder", roots, check)
    shutil.rmtree(home / "root")
