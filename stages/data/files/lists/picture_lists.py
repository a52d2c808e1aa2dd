"""Lists of pictures with their labels as class numbers, whatever the files call them."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import NamedTuple

from longtail.stages.data.files.lists.formats import RawList, parse_json, parse_lines
from longtail.stages.data.files.lists.labels import class_numbers
from longtail.stages.data.files.lists.text import lines_of, read_text
from longtail.stages.data.files.regular_file import MOST_LIST_BYTES, MOST_NAMES_BYTES
from longtail.stages.data.files.user_path import user_path
from longtail.stages.parameters import wrong
from longtail.stages.wording import looked_for


class PictureList(NamedTuple):
    """A list's pictures: paths relative to the root, their labels, and where each was read (for messages)."""

    paths: list[str]
    labels: list[int]
    where: list[str]


def read_lists(
    root: str,
    *,
    train: str,
    val: str | None,
    test: str | None,
    class_names: str | None,
    label_offset: int = 0,
) -> tuple[dict[str, PictureList], list[str]]:
    """The lists that are given, by part, and the class names. No picture is opened.

    `label_offset` is what the lists' first label is; see :func:`class_numbers`. Raises ValueError naming file
    and line.
    """
    if not user_path(root).is_dir():
        rule = "must be the folder the lists' paths begin in"
        raise wrong("root", f"{rule}, got {looked_for(root)}")
    files = {"train": train, "val": val, "test": test}
    raw = {part: _read(part, user_path(name)) for part, name in files.items() if name is not None}
    named = None if class_names is None else _class_names(user_path(class_names))
    labels, names = class_numbers(raw, files, named, label_offset)
    top = os.fspath(user_path(root))
    parts = {
        part: _in_order([_as_it_lies(top, path) for path in raw[part].paths], labels[part], raw[part].where)
        for part in raw
    }
    _refuse_contradictions(parts)
    return parts, names


def _read(part: str, path: Path) -> RawList:
    text = read_text(part, path, MOST_LIST_BYTES)
    entries = parse_json(path, text) if path.suffix.lower() == ".json" else parse_lines(path, text)
    if not entries.paths:
        raise ValueError(f"{path}: names no picture")
    return entries


def _class_names(path: Path) -> list[str]:
    return [name for name in lines_of(read_text("class_names", path, MOST_NAMES_BYTES)) if name.strip()]


def _as_it_lies(top: str, path: str) -> str:
    """`path` with slashes for the backslashes of Windows, where the picture then lies below `top`."""
    if "\\" not in path or os.path.lexists(os.path.join(top, path)):
        return path
    slashes = path.replace("\\", "/")
    return slashes if os.path.lexists(os.path.join(top, slashes)) else path


def _in_order(paths: list[str], labels: list[int], where: list[str]) -> PictureList:
    """The list in one order, whatever the file's: what identifies the data then says what is trained on."""
    order = sorted(range(len(paths)), key=lambda row: (paths[row], labels[row]))
    return PictureList(*([column[row] for row in order] for column in (paths, labels, where)))


def _refuse_contradictions(parts: dict[str, PictureList]) -> None:
    """ValueError naming both lines when a picture is given two labels, in one list or in two."""
    labelled: dict[str, tuple[int, str]] = {}
    for entries in parts.values():
        for path, label, where in zip(*entries, strict=True):
            earlier, there = labelled.setdefault(one_spelling(path), (label, where))
            if earlier != label:
                raise ValueError(
                    f"{where}: {path} has label {label}, but {earlier} in {there}; keep the right line"
                )


def one_spelling(path: str) -> str:
    """A relative path in one spelling: ``./a//b.png`` is ``a/b.png``."""
    return posixpath.normpath(path) if "./" in path or "//" in path else path
