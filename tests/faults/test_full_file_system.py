"""A file system that really is full, of bytes or of files: it is named, and with room the run goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.processes import assert_one_line_error, run, succeed
from tests.faults.roots import assert_same, check_readable, temporaries
from tests.faults.sizes import full_only

pytestmark = full_only

PAGE = os.sysconf("SC_PAGE_SIZE")  # what tmpfs gives and takes
SHARES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9)  # of what the run needs in the end


@contextmanager
def small_file_system(folder: Path, options: str) -> Iterator[None]:
    """A tmpfs at `folder` while the block runs; skips the test where none may be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def enlarge(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def pages(root: Path) -> int:
    """Pages that the files below a root take."""
    return sum(-(-p.stat().st_size // PAGE) for p in root.rglob("*") if p.is_file())


@pytest.fixture(autouse=True, scope="module")
def needs_mount():
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command here")


@pytest.mark.parametrize("what", ["bytes", "files"])
def test_full_file_system_is_named_and_the_run_goes_on_with_room(whole, survey, tmp_path, what):
    root = tmp_path / "root"
    if what == "bytes":
        sizes = [f"size={max(1, int(share * pages(whole.root))) * PAGE}" for share in SHARES]
        room = "size=1g"
    else:  # of which the root is one
        count = 1 + sum(1 for _ in whole.root.rglob("*"))
        sizes = [f"size=1g,nr_inodes={max(2, int(share * count))}" for share in SHARES]
        room = "nr_inodes=1m"

    def check(options: str) -> None:
        with small_file_system(root, options):
            said = assert_one_line_error(run(root, whole.command), 1)
            assert str(root) in said and "No space left on device" in said, said
            assert temporaries(root) == []
            check_readable(root)
            enlarge(root, room)
            succeed(root, whole.command)
            assert_same(root, whole.essence)

    survey(f"file system full of {what}", sizes, check)
