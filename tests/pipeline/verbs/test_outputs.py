"""Every verb that writes where it is told, and everything that may be there already."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from tests.command_line import SMALL, failed

pytest.importorskip("matplotlib", reason="pages need the extra `report`")

VERBS = {
    "report": ("report", "--html", "{path}"),
    "report --figures": ("report", "--figures", "{path}"),
    "ablate": ("ablate", "digits_lt", "--html", "{path}"),
    "ablate --figures": ("ablate", "digits_lt", "--figures", "{path}"),
    "boundaries": ("boundaries", "--out", "{path}"),
    "export": ("export", *SMALL[:1], "{path}", *SMALL[1:]),
    "init": ("init", "{pictures}", "--output", "{path}"),
}
SUFFIXES = {"export": ".onnx", "init": ".yaml", "boundaries": ".svg", "report": ".html", "ablate": ".html"}


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(os.path.relpath(path))


def below(path: Path) -> Path:
    path.write_text("mine")
    return path / f"below{path.suffix}"


TARGETS = {
    "a configuration": lambda path: path.write_text("seed: 1\ndata: digits\n"),
    "an empty file": lambda path: path.touch(),
    "a link to a file": lambda path: (path.with_name("mine").write_text("mine"), path.symlink_to("mine")),
    "a FIFO": os.mkfifo,
    "a socket": bind,
    "a folder": os.mkdir,
    "a link to a device": lambda path: path.symlink_to("/dev/full"),
    "below a file": below,
}
FORCED = ("a FIFO", "a socket", "a folder", "a link to a device", "below a file")
CASES = [
    (verb, target, forced)
    for verb in VERBS
    for target in TARGETS
    for forced in (False, True)
    if (not forced or target in FORCED) and (verb.endswith("--figures") <= (target not in FORCED[2:3]))
]


def state(folder: Path) -> dict[str, tuple]:
    """Of everything below a folder what would differ if it were replaced."""
    return {str(p): (p.lstat().st_ino, p.lstat().st_mode, p.lstat().st_mtime_ns) for p in folder.rglob("*")}


@pytest.mark.parametrize(("verb", "target", "forced"), CASES)
def test_nothing_that_is_not_ours_is_replaced(root, tmp_path, monkeypatch, verb, target, forced):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    path = tmp_path / f"output{SUFFIXES.get(verb, '')}"
    path = TARGETS[target](path) if target == "below a file" else (TARGETS[target](path), path)[1]
    before = state(tmp_path)
    words = [word.format(path=path, pictures=tmp_path / "pictures") for word in VERBS[verb]]
    status = 2 if target == "a folder" and verb in ("report", "ablate", "boundaries") else 1
    if verb.endswith("--figures") and re.search("file|configuration", target) and target != "below a file":
        status = 2  # click's: a usage error
    lines = failed(status, "--root", root, *words, *["--force"] * forced)
    assert str(path if target != "below a file" else path.parent) in lines[-1], lines
    assert state(tmp_path) == before
