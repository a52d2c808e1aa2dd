"""Odd pictures among good ones: each is read, or refused or left out by name; none hangs or fills memory."""

from __future__ import annotations

import os
import resource
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.stages.data.image_folder import image_folder
from longtail.stages.data.parts import Collection
from longtail.stages.wording import printable
from tests.command_line import failed, ok
from tests.faults.odd_pictures import READ, REFUSED, OddPicture, corpus, noise
from tests.faults.sizes import full_only

pytestmark = full_only
GOOD = 6  # pictures of each class
SECONDS = 10  # that reading the folder may take, and a command
MOST_MEMORY = 2**30  # bytes that a process may grow by


@pytest.fixture
def folder(tmp_path) -> Path:
    """Good pictures of two classes."""
    for number, name in enumerate("ab"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for k in range(GOOD):
            shades = np.asarray(noise(8, 8)) // 4 + 120 * number + k
            path = tmp_path / "pictures" / name / f"good-{k}.bmp"
            Image.fromarray(shades.astype(np.uint8)).save(path)
    return tmp_path / "pictures"


def command(folder: Path, *overrides: str) -> list[str]:
    """A run on the pictures, as words after ``longtail``."""
    return [
        "--root", str(folder.parent / "root"), "run", "image_folder", f"data.root={folder}",
        "data.image_size=8", "data.validation_per_class=1", "data.test_per_class=1",
        "representation.epochs=1", "representation.batch_size=8", "representation.augment={pad: 0}",
        "classifiers=[ncm]", "system.device=cpu", "system.threads=1", "system.workers=1", *overrides,
    ]  # fmt: skip


def in_time(call: Callable, *arguments, **options):
    """What `call` returns; AssertionError when it takes too long."""
    began = time.monotonic()
    try:
        return call(*arguments, **options)
    finally:
        assert time.monotonic() - began < SECONDS


def read(folder: Path, **settings) -> tuple[Collection, list[str]]:
    """The pictures, every one decoded, with what was warned of."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = image_folder(root=str(folder), image_size=8, workers=1, **settings)
        data.train.batch(np.arange(len(data.train)))
    return data, [str(warning.message) for warning in said]


def check_refusal(folder: Path, picture: OddPicture, in_memory: bool) -> bool:
    """Whether the picture cannot be read, which an error then says that names it."""
    try:
        data, _ = in_time(read, folder, in_memory=in_memory)
    except ValueError as error:
        assert printable(folder / "a" / picture.name) in str(error) and picture.expected != READ, error
        return True
    assert len(data.train) == 2 * GOOD + 1 and picture.expected != REFUSED, "was read"
    return False


def test_odd_pictures_are_read_or_named(folder, survey, capfd):
    def check(picture: OddPicture) -> None:
        path = folder / "a" / picture.name
        path.write_bytes(picture.content)
        try:
            refused = check_refusal(folder, picture, True)
            assert check_refusal(folder, picture, False) == refused, "otherwise in memory than from files"
            for in_memory in (True, False):
                data, said = in_time(read, folder, in_memory=in_memory, unreadable="skip")
                assert len(data.train) == 2 * GOOD + (not refused)
                assert any(f"{printable(path)} (" in line for line in said) == refused, said
        finally:
            path.unlink()
            written = capfd.readouterr()
        assert not written.out + written.err

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    survey("odd picture", corpus(), check)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < MOST_MEMORY, f"memory grew by {grown} bytes"


def test_commands_end_at_an_odd_picture_in_one_line_or_go_on_without_it(folder, survey):
    def check(picture: OddPicture) -> None:
        path = folder / "a" / picture.name
        path.write_bytes(picture.content)
        try:
            said = in_time(failed, 1, *command(folder))
            errors = [line for line in said if line.startswith("error: ")]
            shown = printable(path)
            assert len(errors) == 1 and said[-1] == errors[0] and shown in errors[0], said
            outcome = in_time(ok, *command(folder, "data.unreadable=skip"))
            named = [line for line in outcome.err.splitlines() if shown in line]
            assert len(named) == 1 and named[0].startswith("warning: "), outcome.err
        finally:
            path.unlink()

    survey("command at an odd picture", [p for p in corpus() if p.expected == REFUSED], check)


ENTRIES: dict[str, Callable[[Path], object]] = {
    "FIFO": os.mkfifo,
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link that leads nowhere": lambda path: path.symlink_to("gone.png"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "folder without pictures": Path.mkdir,
}


@pytest.mark.parametrize("outside", [False, True])
def test_entries_that_are_no_files_are_named_whatever_is_skipped(folder, survey, outside):
    def check(kind: str) -> None:
        path = folder / "a" / "odd.png"
        ENTRIES[kind](path)
        try:
            for unreadable in ("error", "skip"):
                words = command(folder, f"data.unreadable={unreadable}", f"data.allow_outside={outside}")
                if kind == "folder without pictures":
                    in_time(ok, *words)
                    continue
                said = in_time(failed, 1, *words)
                assert said[-1].startswith("error: ") and len(said) == 1 and str(path) in said[0], said
        finally:
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    survey("picture that is no file", ENTRIES, check)
