"""Lists of pictures as they are written: ``path label`` or CSV in lines, or COCO's and iNaturalist's JSON."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from longtail.stages.data.files.lists.text import lines_of
from longtail.stages.data.files.part_names import PART_OF
from longtail.stages.data.files.picture_files import picture_suffixes
from longtail.stages.wording import excerpt, listed

PATH_COLUMNS = (
    "path", "filepath", "file_path", "file", "filename", "file_name", "image", "image_path", "image_file",
    "image_name", "img", "img_path", "picture", "relative_path",
)  # fmt: skip
LABEL_COLUMNS = (
    "label", "labels", "label_id", "label_name", "class", "class_id", "class_name", "class_label", "category",
    "category_id", "category_name", "target", "species",
)  # fmt: skip
SPLIT_COLUMNS = ("split", "subset", "set", "partition", "part", "phase")
DELIMITERS = (",", ";", "\t")
FORM = "must be 'relative/path label', or CSV whose header names the columns (path and label, say)"
JSON_FORM = (
    "must hold images (id, file_name), annotations (image_id, category_id) and perhaps categories (id, name)"
)
MOST_DIGITS = 18  # of a label


class RawList(NamedTuple):
    """A list as it is written: paths, what labels they have, and where each was read (for messages).

    Labels are all numbers or all names; with `categories`, names by number, they are those numbers.
    """

    paths: list[str]
    labels: list[int] | list[str]
    where: list[str]
    categories: dict[int, str] | None = None


class _Columns(NamedTuple):
    """How lines are divided, and which columns hold what; ``has_header`` when the first line says so."""

    delimiter: str | None
    path: int = 0
    label: int = 1
    split: int | None = None
    has_header: bool = False


# -- lines ------------------------------------------------------------------------------------------------


def parse_lines(path: Path, text: str) -> RawList:
    """A list of lines. Raises ValueError naming file and line for one that says no path or no label."""
    first = next((line for line in lines_of(text) if line.strip()), "")
    columns = _columns(path, first)
    rows = _words(path, text, columns) if columns.delimiter is None else _fields(path, text, columns)
    paths, labels, where, splits = [], [], [], set()
    for place, picture, label, split in rows:
        paths.append(picture)
        labels.append(label)
        where.append(place)
        splits.add(split.lower())
    if len(splits & PART_OF.keys()) > 1:
        raise ValueError(f"{path}: holds several splits ({listed(sorted(splits))}); write a list for each")
    return RawList(paths, _numbers_or_names(labels, where), where)


def _columns(path: Path, first: str) -> _Columns:
    """How a list is written, by its first line."""
    for delimiter in (*DELIMITERS, None):
        columns = _header(path, _divided(first, delimiter), delimiter)
        if columns is not None:
            return columns
    if re.search(r"[^\s,]\s+\d+\s*$", first):
        return _Columns(None)
    return _Columns(next((d for d in DELIMITERS if len(_divided(first, d)) == 2), None))


def _header(path: Path, fields: list[str], delimiter: str | None) -> _Columns | None:
    """The columns that a first line names; None when it names no path or no label."""
    names = [re.sub(r"\W+", "_", field.strip().lower()) for field in fields]
    paths, labels, splits = (
        [n for n, name in enumerate(names) if name in known]
        for known in (PATH_COLUMNS, LABEL_COLUMNS, SPLIT_COLUMNS)
    )
    if not paths or not labels:
        return None
    for what, columns in (("path", paths), ("label", labels)):
        if len(columns) > 1:
            several = listed(fields[n].strip() for n in columns)
            raise ValueError(
                f"{path}, line 1: each of {several} may be the {what}; keep one of these columns"
            )
    return _Columns(delimiter, paths[0], labels[0], splits[0] if splits else None, True)


def _divided(line: str, delimiter: str | None) -> list[str]:
    """The fields of a line; [] if it is not CSV."""
    try:
        return line.split() if delimiter is None else next(_reader(line, delimiter), [])
    except csv.Error:
        return []


def _reader(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)


def _words(path: Path, text: str, columns: _Columns) -> Iterator[tuple[str, str, str, str]]:
    """Where, path, label and split of each line whose last word is the label."""
    skip = is_list = columns.has_header
    for number, line in enumerate(lines_of(text), 1):
        if not line.strip():
            continue
        if skip:
            skip = False
            continue
        words = line.rsplit(None, 1)
        if len(words) != 2 or _is_a_picture(words[1]):
            is_list = is_list or _is_a_picture(words[-1])
            got = f", got {excerpt(line.strip())!r}" if is_list else ""  # another file is not quoted
            raise ValueError(f"{path}, line {number}: {FORM}{got}")
        is_list = True
        yield f"{path}, line {number}", words[0].strip(), words[1], ""


def _fields(path: Path, text: str, columns: _Columns) -> Iterator[tuple[str, str, str, str]]:
    """Where, path, label and split of each line of a CSV."""
    reader, skip, width = _reader(text, columns.delimiter), columns.has_header, None
    is_list = skip
    while True:
        try:
            fields = [field.strip() for field in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: is not CSV ({error})") from None
        if not any(fields):
            continue
        where = f"{path}, line {reader.line_num}"
        width = width or len(fields)
        if len(fields) != width:
            raise ValueError(f"{where}: has {len(fields)} columns where the first line has {width}")
        if skip:
            skip = False
            continue
        picture, label = fields[columns.path], fields[columns.label]
        if not picture or not label or _is_a_picture(label):
            is_list = is_list or _is_a_picture(picture) or _is_a_picture(label)
            got = f", got {excerpt(picture)!r} and {excerpt(label)!r}" if is_list else ""
            raise ValueError(f"{where}: {FORM}{got}")
        is_list = True
        yield where, picture, label, "" if columns.split is None else fields[columns.split]


def _is_a_picture(label: str) -> bool:
    return os.path.splitext(label)[1].lower() in picture_suffixes()


def _numbers_or_names(labels: list[str], where: list[str]) -> list[int] | list[str]:
    """Labels as numbers where any is one; ValueError for a label that is neither a name nor such a number."""
    numbered = any(map(_is_number, labels))
    for place, label in zip(where, labels, strict=True):
        if not _is_number(label) and (numbered or _is_any_number(label)):
            header = "; a header must name the columns (path and label, say)" if place is where[0] else ""
            raise ValueError(f"{place}: label must be an integer ≥ 0, got {label[:50]!r}{header}")
    return [int(label) for label in labels] if numbered else labels


def _is_number(label: str) -> bool:
    return label.isascii() and label.isdigit() and len(label) <= MOST_DIGITS


def _is_any_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


# -- JSON -------------------------------------------------------------------------------------------------


def parse_json(path: Path, text: str) -> RawList:
    """``{images: [{id, file_name}], annotations: [{image_id, category_id}], categories: [{id, name}]}``.

    ValueError naming the file for another form, an image without its one label, and an unknown category.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of more digits than Python reads
        raise ValueError(f"{path}: {JSON_FORM} ({error})") from None
    try:
        listed_categories = ((_number(c["id"]), str(c["name"])) for c in content.get("categories", []))
        categories = _without_repeats(path, "category", listed_categories)
        files = _without_repeats(path, "image", ((i["id"], i["file_name"]) for i in content["images"]))
        marks = ((a["image_id"], a["category_id"]) for a in content["annotations"])
        labels = _without_repeats(path, "annotation of image", marks)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {JSON_FORM} ({error!r})") from None
    raw = RawList([], [], [], categories or None)
    for image, name in files.items():
        where, label = f"{path}, image {image}", labels.get(image)
        known = isinstance(label, int) and not isinstance(label, bool)
        if not isinstance(name, str) or not known or (label < 0 and not categories):
            got = f"{excerpt(repr(name))} and {excerpt(repr(label))}"
            raise ValueError(f"{where}: needs a file_name and a category_id ≥ 0, got {got}")
        if categories and label not in categories:
            raise ValueError(
                f"{where}: category_id {label} is not among the categories ({listed(categories)})"
            )
        raw.paths.append(name)
        raw.labels.append(label)
        raw.where.append(where)
    return raw


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"category id {excerpt(repr(value))} is no integer")
    return value


def _without_repeats(path: Path, what: str, pairs: Iterable[tuple]) -> dict:
    """The pairs as a mapping; ValueError for a key that comes twice."""
    mapping: dict = {}
    for key, value in pairs:
        if key in mapping:
            raise ValueError(f"{path}: {what} {excerpt(key)} comes twice; a picture has one label")
        mapping[key] = value
    return mapping
