"""Lists of pictures as they are written: lines of path and label, or iNaturalist's JSON."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from longtail.stages.wording import SHOWN, listed, looked_for


class Listed(NamedTuple):
    """A list's pictures: paths relative to the root, their labels, and where each was read (for messages)."""

    paths: list[str]
    labels: list[int]
    where: list[str]


def read_lists(
    root: str, *, train: str, val: str | None, test: str | None, class_names: str | None
) -> tuple[dict[str, Listed], list[str]]:
    """The lists that are given, by part, and the class names. No picture is looked at."""
    if not Path(root).expanduser().is_dir():
        raise ValueError(f"data.root: must be the folder the lists' paths begin in, got {looked_for(root)}")
    files = {"train": train, "val": val, "test": test}
    read = {part: _read(part, Path(name).expanduser()) for part, name in files.items() if name is not None}
    parts = {part: entries for part, (entries, _) in read.items()}
    for part, (_, categories) in read.items():
        if (categories or None) != (read["train"][1] or None) and categories:
            raise ValueError(f"data.{part}: {files[part]} has other categories than {train}")
    names = _names(class_names, read["train"][1], parts["train"])
    for entries in parts.values():
        for label, where in zip(entries.labels, entries.where, strict=True):
            if label >= len(names):
                raise ValueError(f"{where}: label must be in 0..{len(names) - 1}, got {label}")
    _refuse_contradictions(parts)
    return parts, names


def _read(part: str, path: Path) -> tuple[Listed, list[str] | None]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"data.{part}: {path} cannot be read ({reason})") from None
    entries, names = _read_json(path, text) if path.suffix == ".json" else (_read_lines(path, text), None)
    if not entries.paths:
        raise ValueError(f"{path}: names no picture")
    # In one order, whatever the file's: what identifies the data then says what is trained on.
    order = sorted(range(len(entries.paths)), key=lambda row: (entries.paths[row], entries.labels[row]))
    return Listed(*([column[row] for row in order] for column in entries)), names


def _refuse_contradictions(parts: dict[str, Listed]) -> None:
    """ValueError naming both lines when a picture is given two labels, in one list or in two."""
    said: dict[str, tuple[int, str]] = {}
    for entries in parts.values():
        for path, label, where in zip(*entries, strict=True):
            earlier, there = said.setdefault(plain(path), (label, where))
            if earlier != label:
                raise ValueError(
                    f"{where}: {path} has label {label}, but {earlier} in {there}; keep the right line"
                )


def plain(path: str) -> str:
    """A relative path in one spelling: ``./a//b.png`` is ``a/b.png``."""
    return posixpath.normpath(path) if "./" in path or "//" in path else path


def _read_lines(path: Path, text: str) -> Listed:
    entries = Listed([], [], [])
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        words = line.rsplit(None, 1)
        if len(words) != 2:
            raise ValueError(f"{where}: must be 'relative/path label', got {line.strip()!r}")
        picture, label = words
        if not (label.isascii() and label.isdigit()):
            raise ValueError(f"{where}: label must be an integer ≥ 0, got {label!r}")
        _add(entries, picture.strip(), int(label), where)
    return entries


def _read_json(path: Path, text: str) -> tuple[Listed, list[str]]:
    """iNaturalist's ``{images: [{id, file_name}], annotations: [{image_id, category_id}], categories}``."""
    try:
        found = json.loads(text)
        names = _once(path, "category", ((c["id"], str(c["name"])) for c in found.get("categories", [])))
        files = _once(path, "image", ((i["id"], i["file_name"]) for i in found["images"]))
        marks = ((a["image_id"], a["category_id"]) for a in found["annotations"])
        labels = _once(path, "annotation of image", marks)
        numbered = sorted(names) == list(range(len(names)))
    except (KeyError, TypeError, AttributeError, RecursionError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: must hold images (id, file_name) and annotations (image_id, category_id) ({error!r})"
        ) from None
    entries = Listed([], [], [])
    for image, name in files.items():
        where = f"{path}, image {image}"
        label = labels.get(image)
        if not isinstance(name, str) or not isinstance(label, int) or isinstance(label, bool) or label < 0:
            raise ValueError(f"{where}: needs a file_name and a category_id ≥ 0, got {name!r} and {label!r}")
        _add(entries, name, label, where)
    return entries, [names[c] for c in range(len(names))] if numbered else []


def _once(path: Path, what: str, pairs: Iterable[tuple]) -> dict:
    """The pairs as a mapping; ValueError for a key that comes twice."""
    found: dict = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{path}: {what} {key} comes twice")
        found[key] = value
    return found


def _add(entries: Listed, picture: str, label: int, where: str) -> None:
    entries.paths.append(picture)
    entries.labels.append(label)
    entries.where.append(where)


def _names(file: str | None, categories: list[str] | None, train: Listed) -> list[str]:
    if file is not None:
        try:
            return [n for n in Path(file).expanduser().read_text(encoding="utf-8").splitlines() if n.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"data.class_names: {file} cannot be read ({error})") from None
    if categories:
        return categories
    count = max(train.labels) + 1
    _refuse_a_slip(train, count)
    folders: list[set[str]] = [set() for _ in range(count)]
    for path, label in zip(train.paths, train.labels, strict=True):
        folders[label].add(path.rpartition("/")[0].rpartition("/")[2])
    own = [next(iter(f)) for f in folders if len(f) == 1]
    return own if len(set(own)) == count and all(own) else [str(c) for c in range(count)]


def _refuse_a_slip(train: Listed, count: int) -> None:
    """ValueError naming the line of the largest label when it leaves most of `count` classes empty."""
    present = set(train.labels)
    empty = count - len(present)
    if empty <= len(present):
        return
    first = []
    for label in range(count):  # as many as are shown, however large the label is
        if len(first) == SHOWN:
            break
        if label not in present:
            first.append(label)
    where = train.where[train.labels.index(count - 1)]
    raise ValueError(
        f"{where}: label {count - 1} leaves {empty} of {count} classes without a training picture "
        f"({listed(first, total=empty)}); correct it, or name all classes in data.class_names"
    )
