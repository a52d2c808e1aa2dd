"""Lists of pictures as they are written: lines of path and label, or iNaturalist's JSON."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from longtail.stages.parameters import wrong
from longtail.stages.wording import MOST_DIGITS, SHOWN, listed, looked_for


class PictureList(NamedTuple):
    """A list's pictures: paths relative to the root, their labels, and where each was read (for messages)."""

    paths: list[str]
    labels: list[int]
    where: list[str]


def read_lists(
    root: str, *, train: str, val: str | None, test: str | None, class_names: str | None
) -> tuple[dict[str, PictureList], list[str]]:
    """The lists that are given, by part, and the class names. No picture is looked at."""
    if not Path(root).expanduser().is_dir():
        rule = "must be the folder the lists' paths begin in"
        raise wrong("root", f"{rule}, got {looked_for(root)}")
    files = {"train": train, "val": val, "test": test}
    read = {part: _read(part, Path(name).expanduser()) for part, name in files.items() if name is not None}
    parts = {part: entries for part, (entries, _) in read.items()}
    for part, (_, categories) in read.items():
        if (categories or None) != (read["train"][1] or None) and categories:
            raise wrong(part, f"{files[part]} has other categories than {train}")
    names = _class_names(class_names, read["train"][1], parts["train"])
    for entries in parts.values():
        for label, where in zip(entries.labels, entries.where, strict=True):
            if label >= len(names):
                raise ValueError(f"{where}: label must be in 0..{len(names) - 1}, got {label}")
    _refuse_contradictions(parts)
    return parts, names


def _read(part: str, path: Path) -> tuple[PictureList, list[str] | None]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise wrong(part, f"{path} cannot be read ({reason})") from None
    entries, names = _read_json(path, text) if path.suffix == ".json" else (_read_lines(path, text), None)
    if not entries.paths:
        raise ValueError(f"{path}: names no picture")
    # In one order, whatever the file's: what identifies the data then says what is trained on.
    order = sorted(range(len(entries.paths)), key=lambda row: (entries.paths[row], entries.labels[row]))
    return PictureList(*([column[row] for row in order] for column in entries)), names


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


def _read_lines(path: Path, text: str) -> PictureList:
    entries = PictureList([], [], [])
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        words = line.rsplit(None, 1)
        if len(words) != 2:
            raise ValueError(f"{where}: must be 'relative/path label', got {line.strip()!r}")
        picture, label = words
        if not (label.isascii() and label.isdigit() and len(label) <= MOST_DIGITS):
            raise ValueError(f"{where}: label must be an integer ≥ 0, got {label[:MOST_DIGITS]!r}")
        _add(entries, picture.strip(), int(label), where)
    return entries


def _read_json(path: Path, text: str) -> tuple[PictureList, list[str]]:
    """iNaturalist's ``{images: [{id, file_name}], annotations: [{image_id, category_id}], categories}``."""
    try:
        content = json.loads(text)
        names = _without_repeats(
            path, "category", ((c["id"], str(c["name"])) for c in content.get("categories", []))
        )
        files = _without_repeats(path, "image", ((i["id"], i["file_name"]) for i in content["images"]))
        marks = ((a["image_id"], a["category_id"]) for a in content["annotations"])
        labels = _without_repeats(path, "annotation of image", marks)
        numbered = sorted(names) == list(range(len(names)))
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise ValueError(
            f"{path}: must hold images (id, file_name) and annotations (image_id, category_id) ({error!r})"
        ) from None
    entries = PictureList([], [], [])
    for image, name in files.items():
        where = f"{path}, image {image}"
        label = labels.get(image)
        if not isinstance(name, str) or not isinstance(label, int) or isinstance(label, bool) or label < 0:
            raise ValueError(f"{where}: needs a file_name and a category_id ≥ 0, got {name!r} and {label!r}")
        _add(entries, name, label, where)
    return entries, [names[c] for c in range(len(names))] if numbered else []


def _without_repeats(path: Path, what: str, pairs: Iterable[tuple]) -> dict:
    """The pairs as a mapping; ValueError for a key that comes twice."""
    mapping: dict = {}
    for key, value in pairs:
        if key in mapping:
            raise ValueError(f"{path}: {what} {key} comes twice")
        mapping[key] = value
    return mapping


def _add(entries: PictureList, picture: str, label: int, where: str) -> None:
    entries.paths.append(picture)
    entries.labels.append(label)
    entries.where.append(where)


def _class_names(file: str | None, categories: list[str] | None, train: PictureList) -> list[str]:
    if file is not None:
        try:
            return [n for n in Path(file).expanduser().read_text(encoding="utf-8").splitlines() if n.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise wrong("class_names", f"{file} cannot be read ({error})") from None
    if categories:
        return categories
    count = max(train.labels) + 1
    _refuse_empty_classes(train, count)
    folders: list[set[str]] = [set() for _ in range(count)]
    for path, label in zip(train.paths, train.labels, strict=True):
        folders[label].add(path.rpartition("/")[0].rpartition("/")[2])
    single = [next(iter(names)) for names in folders if len(names) == 1]
    one_each = len(set(single)) == count and all(single)
    return single if one_each else [str(c) for c in range(count)]


def _refuse_empty_classes(train: PictureList, count: int) -> None:
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
        f"({listed(first, total=empty)}); correct it, or name all classes in `class_names`"
    )
