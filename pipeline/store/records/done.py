"""What declares a result finished, ``DONE`` (of features ``manifest.json``), and the files it answers for."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longtail.pipeline.errors import Damaged, LongtailError
from longtail.pipeline.files.checked_json import parse_json, read_record, verified, with_checksum
from longtail.pipeline.files.publish import publish_json
from longtail.stages.wording import file_kind

DONE, MANIFEST = "DONE", "manifest.json"
COMING = "coming"  # the entry of DONE with the SHA-256 of what will replace files: either may be there
FOLDER = "folder"  # the entry of DONE with the place of the result; older ones lack it

_PLAIN_NAME = re.compile(r"\w[\w.-]*")
_ENTRIES = {
    "representations": {"epochs": int, "data": dict, "last": dict, "best": dict, "files": dict},
    "classifiers": {"classifier": str, "files": dict},
    "features": {"key": str, "identity": dict, "class_counts": list, "class_names": list, "files": dict},
}


def read_done(folder: Path) -> tuple[dict[str, Any], os.stat_result]:
    """What ``DONE`` of the result in `folder` holds, and the file's status.

    FileNotFoundError when it is not finished; Damaged, naming the file, for a ``DONE`` that is not as it was
    written, or is that of another result.
    """
    path, place = folder / DONE, _place(folder)
    record, status = _checked(path, folder.parent.name)
    if record.pop(FOLDER, place) != place:
        raise Damaged(f"{path}: belongs to another result")
    if not isinstance(record.get(COMING, {}), dict):
        raise Damaged(f"{path}: lacks {COMING}")
    for weights in ("last", "best") if folder.parent.name == "representations" else ():
        _require(record[weights], {"file": str, "tensors": str}, path)
    for name in [*record["files"], *(record[w]["file"] for w in ("last", "best") if w in record)]:
        if not _PLAIN_NAME.fullmatch(name):
            raise Damaged(f"{path}: names {name!r}, which is not in its folder")
    return record, status


def read_manifest(folder: Path) -> dict[str, Any]:
    """What ``manifest.json`` of the features in `folder` holds; raises what :func:`read_done` raises."""
    path = folder / MANIFEST
    record, _ = _checked(path, "features")
    if record["key"] != folder.name:
        raise Damaged(f"{path}: belongs to other features")
    return record


def write_done(folder: Path, facts: dict[str, Any], digests: dict[str, str]) -> None:
    """Publish ``DONE``: `facts`, its place, and the SHA-256 of files by name."""
    publish_json(folder / DONE, with_checksum({**facts, FOLDER: _place(folder), "files": digests}))


def refuse_obstacle(folder: Path) -> None:
    """LongtailError when what will declare the result in `folder` finished cannot be published there.

    That is so where a folder, FIFO, socket or device, or a link to one, has its name: work that ended there
    would be lost, and no run has put it there.
    """
    path = folder / (MANIFEST if folder.parent.name == "features" else DONE)
    try:
        status = os.stat(path)
    except OSError:  # missing, or a link that leads nowhere, which a file replaces
        return
    if not stat.S_ISREG(status.st_mode):
        raise LongtailError(f"{path}: is {file_kind(status.st_mode)}, not a file; remove it")


def read_listed(folder: Path, done: dict[str, Any], file: str) -> tuple[bytes, os.stat_result]:
    """A file that `done` lists, verified: its bytes, and its status from before they were read.

    Damaged, naming the file, for one that is missing, is not listed or is another.
    """
    path = folder / file
    if file not in done["files"]:
        raise Damaged(f"{folder / DONE}: does not list {file}")
    try:
        content, status = read_record(path)
    except FileNotFoundError as error:
        raise Damaged(str(error)) from None
    if hashlib.sha256(content).hexdigest() not in digests_of(done, file):
        raise Damaged(f"{path}: its SHA-256 is not the one recorded")
    return content, status


def digests_of(done: Mapping[str, Any], file: str) -> tuple[str, ...]:
    """The SHA-256 that a listed file may have: two while its successor is being written, else one."""
    coming = done.get(COMING, {})
    return (done["files"][file], coming[file]) if file in coming else (done["files"][file],)


def _place(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _checked(path: Path, kind: str) -> tuple[dict[str, Any], os.stat_result]:
    content, status = read_record(path)
    record = verified(parse_json(content, path), path)
    _require(record, _ENTRIES[kind], path)
    return record, status


def _require(record: dict[str, Any], entries: dict[str, type], path: Path) -> None:
    lacking = [name for name, kind in entries.items() if not isinstance(record.get(name), kind)]
    if lacking:
        raise Damaged(f"{path}: lacks {', '.join(lacking)}")
