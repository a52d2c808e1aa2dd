"""What a user names is opened where it is a regular file, and refused by name where it is not."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from longtail.stages.data.files.regular_file import (
    UnreadableFile,
    open_regular,
    read_bytes,
    read_text,
    require_regular,
)
from longtail.stages.data.files.user_path import user_path


def fifo(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(os.path.relpath(path))  # such a path has at most 107 bytes


SPECIAL = {
    "FIFO": (fifo, "must be a file, is a FIFO"),
    "link to a FIFO": (lambda path: (fifo(path.with_name("f")), path.symlink_to("f")), "is a FIFO"),
    "socket": (listening, "must be a file, is a socket"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "must be a file, is a device"),
    "folder": (lambda path: path.mkdir(), "must be a file, is a folder"),
    "dangling link": (lambda path: path.symlink_to("gone"), "a link to a file that is not there"),
    "link to itself": (lambda path: path.symlink_to(path.name), "cannot be read (Too many levels"),
    "nothing": (lambda path: None, "no such file"),
    "below a file": (lambda path: None, "no such file"),
}


@pytest.mark.parametrize("read", [require_regular, open_regular, lambda path: read_text(path, 10)])
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_refused_by_name(tmp_path, monkeypatch, kind, read):
    monkeypatch.chdir(tmp_path)
    make, reason = SPECIAL[kind]
    path = tmp_path / "input"
    make(path)
    if kind == "below a file":
        (tmp_path / "plain").touch()
        path = tmp_path / "plain" / "input"
    with pytest.raises(UnreadableFile) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ") and reason in caught.value.reason
    assert caught.value.path == path


def test_a_name_with_a_nul_is_refused():
    with pytest.raises(UnreadableFile, match="cannot be read"):
        open_regular("a\0b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path):
    path = tmp_path / "secret"
    path.touch(mode=0)
    with pytest.raises(UnreadableFile, match=r"secret: cannot be read \(Permission denied\)"):
        open_regular(path)


def test_a_fifo_that_takes_the_place_of_a_file_does_not_hang(tmp_path, monkeypatch):
    path = tmp_path / "input"
    path.touch()
    status = os.stat(path)
    path.unlink()
    fifo(path)
    monkeypatch.setattr("longtail.stages.data.files.regular_file.require_regular", lambda path: status)
    with pytest.raises(UnreadableFile, match="is a FIFO"):
        open_regular(path)


def test_links_to_files_are_followed(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    assert read_bytes(tmp_path / "link", 3) == b"abc"
    with open_regular(tmp_path / "link") as file:
        assert os.get_blocking(file.fileno()) is False and file.read() == b"abc"


@pytest.mark.parametrize(("most", "size"), [(3, "3 bytes"), (2**20, "1 MiB"), (2**31, "2 GiB")])
def test_more_than_what_is_read_at_most_is_refused_unread(tmp_path, most, size):
    path = tmp_path / "input"
    with open(path, "wb") as file:
        file.truncate(most + 1)  # sparse: it takes no room
    with pytest.raises(UnreadableFile, match=f"input: is longer than {size}"):
        read_bytes(path, most)
    if most == 3:
        assert len(read_bytes(path, 4)) == 4


def test_a_file_that_lies_about_its_size_is_read_to_the_limit():
    path = Path("/proc/self/status")  # whose size is 0, it says
    if not path.exists():
        pytest.skip("no /proc here")
    assert os.stat(path).st_size == 0 and read_bytes(path, 2**20)
    with pytest.raises(UnreadableFile, match="is longer than 5 bytes"):
        read_bytes(path, 5)


def test_text_is_utf8_in_any_convention_of_lines(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("\ufeffß\r\nb\rc".encode())
    assert read_text(path, 100) == "ß\nb\nc"
    path.write_bytes(b"ab\xff")
    with pytest.raises(UnreadableFile, match=r"text: is not UTF-8 text \(byte 2\)"):
        read_text(path, 100)


def test_a_home_that_nobody_has_is_named():
    assert user_path("~/x") == Path.home() / "x"
    assert user_path("a/~b") == Path("a/~b")
    with pytest.raises(ValueError, match=r"^~nosuchuser/x: ~nosuchuser is nobody's home folder here"):
        user_path("~nosuchuser/x")
