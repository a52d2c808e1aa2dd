"""Publishing: what goes wrong names the file, and nothing else is left."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from longtail.pipeline.files import publish as publish_module
from longtail.pipeline.files.publish import make_folder, publish, publish_bytes


def fail_with(number: int):
    def failing(*_, **__):
        raise OSError(number, os.strerror(number))

    return failing


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("operation", ["write", "fsync", "replace", "open"])
def test_what_goes_wrong_names_the_file_and_leaves_the_old_one(tmp_path, monkeypatch, number, operation):
    path = tmp_path / "result.json"
    path.write_bytes(b"old")
    write = fail_with(number) if operation == "write" else lambda file: file.write(b"new")
    if operation == "open":
        monkeypatch.setattr(publish_module, "open", fail_with(number), raising=False)
    elif operation != "write":
        monkeypatch.setattr(os, operation, fail_with(number))
    with pytest.raises(OSError, match=r"result\.json") as caught:
        publish(path, write)
    assert (caught.value.errno, caught.value.filename) == (number, str(path))
    monkeypatch.undo()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"result.json": b"old"}


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    def write(file):
        os.stat(tmp_path / "input")

    with pytest.raises(FileNotFoundError, match="input"):
        publish(tmp_path / "output", write)


def test_a_temporary_file_that_cannot_be_removed_does_not_hide_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "unlink", fail_with(errno.EROFS))
    with pytest.raises(OSError, match=r"No space left.*output"):
        publish(tmp_path / "output", fail_with(errno.ENOSPC))


@pytest.mark.parametrize(
    ("number", "tolerated"),
    [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EOPNOTSUPP, True), (errno.EIO, False)],
)
def test_a_folder_that_cannot_be_synced_is_tolerated_where_none_can(tmp_path, monkeypatch, number, tolerated):
    synced, fsync = [], os.fsync

    def of_files_alone(handle):
        synced.append(handle)
        return fsync(handle) if len(synced) == 1 else fail_with(number)()

    monkeypatch.setattr(os, "fsync", of_files_alone)
    if tolerated:
        publish_bytes(tmp_path / "output", b"new")
    else:
        with pytest.raises(OSError, match=rf"Input/output error: '{tmp_path}'"):
            publish_bytes(tmp_path / "output", b"new")
    assert len(synced) == 2 and (tmp_path / "output").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda root: root.touch(), "must be a folder, is a file: '{root}'"),
        (lambda root: root.symlink_to("gone"), "a link to a folder that is not there: '{root}'"),
        (os.mkfifo, "must be a folder, is a FIFO: '{root}'"),
        (lambda root: root.symlink_to("/dev/null"), "must be a folder, is a device: '{root}'"),
    ],
)
@pytest.mark.parametrize("below", ["DONE", "classifiers/0123/DONE"])
def test_what_stands_in_the_way_of_a_folder_is_named(tmp_path, make, reason, below):
    root = tmp_path / "root"
    make(root)
    with pytest.raises(OSError) as caught:
        publish_bytes(root / below, b"new")
    assert reason.format(root=root) in str(caught.value)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc here")
def test_a_place_without_room_for_folders_is_named():
    with pytest.raises(OSError, match="'/proc/root/classifiers'") as caught:
        publish_bytes(Path("/proc/root/classifiers/DONE"), b"new")
    assert "no folder can be made here" in str(caught.value)


def test_folder_that_another_process_removes_meanwhile_is_made_again(tmp_path, monkeypatch):
    made, mkdir = [], os.mkdir

    def once_removed(path, mode=0o777):
        made.append(path)
        if len(made) == 1:
            raise FileExistsError(errno.EEXIST, "File exists", str(path))  # and then it is gone
        mkdir(path, mode)

    monkeypatch.setattr(os, "mkdir", once_removed)
    make_folder(tmp_path / "features")
    assert (tmp_path / "features").is_dir() and len(made) == 2
