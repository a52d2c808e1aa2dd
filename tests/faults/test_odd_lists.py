"""Odd lists of pictures: each is read, or refused in one line that names it or the setting."""

from __future__ import annotations

import codecs
import json
import time
from pathlib import Path

import numpy as np
import pytest

from longtail.stages.data.image_list import image_list
from longtail.stages.wording import for_terminal
from tests.command_line import failed
from tests.faults.odd_pictures import EITHER, READ, REFUSED, noise
from tests.faults.sizes import full_only

pytestmark = full_only
SECONDS = 10  # that reading a list may take, and a command
PATHS = [f"{name}/{k}.bmp" for name in "ab" for k in range(4)]
TEXT = "".join(f"{path} {'ab'.index(path[0])}\n" for path in PATHS)
CSV = "path,label\n" + "".join(f"{path},{path[0]}\n" for path in PATHS)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Pictures of two classes, and one beside the root."""
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for k in range(4):
            noise(8, 8).rotate(90 * k).save(tmp_path / "pictures" / name / f"{k}.bmp")
    noise(8, 8).save(tmp_path / "outside.bmp")
    return tmp_path / "pictures"


def with_label(label: object) -> bytes:
    """The list with one label that is another."""
    return TEXT.replace("b/3.bmp 1", f"b/3.bmp {label}").encode()


def with_path(path: object) -> bytes:
    """The list with one path that is another."""
    return TEXT.replace("b/3.bmp", str(path)).encode()


def texts(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Contents of lists of lines, and what has to become of them."""
    wide = CSV.replace("path,label", "path,label" + ",x" * 10**5)
    wide = "\n".join([*wide.splitlines()[:1], *(line + ",y" * 10**5 for line in wide.splitlines()[1:])])
    named = CSV.replace(",a\n", ",ä\n")
    labels = {
        "huge": 10**30, "larger than an index": 10**17, "a million": 10**6, "below zero": -1, "a float": 1.5,
        "a whole float": "1.0", "NaN": "nan", "an exponent": "1e0", "other digits": "１", "signed": "+1",
        "underscored": "1_0", "long": "9" * 10**5, "a name": "b", "control": "\x1b[31m",
    }  # fmt: skip
    paths = {
        "absolute": folder / "b/3.bmp", "beside the root": "../outside.bmp", "passwd": "/etc/passwd",
        "up and down": "a/../../pictures/b/3.bmp", "a folder": "a", "a device": "/dev/zero",
        "missing": "b/9.bmp", "long name": "x" * 5000 + ".bmp", "deep": "a/" * 5000 + "x.bmp",
        "of control characters": "b/\x07\x1b[2J.bmp", "home": "~/x.bmp", "twice": "b/2.bmp",
        "of two labels": "a/0.bmp", "empty": "", "escaped": "b/%33.bmp", "address": "http://localhost/x.bmp",
    }  # fmt: skip
    return {
        "plain": (TEXT.encode(), READ),
        "CSV": (CSV.encode(), READ),
        "byte order mark": (codecs.BOM_UTF8 + TEXT.encode(), READ),
        "two byte order marks": (2 * codecs.BOM_UTF8 + CSV.encode(), EITHER),
        "byte order mark alone": (codecs.BOM_UTF8, REFUSED),
        "UTF-16 LE": (codecs.BOM_UTF16_LE + CSV.encode("utf-16-le"), READ),
        "UTF-16 BE": (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), READ),
        "UTF-16 cut": (codecs.BOM_UTF16_LE + CSV.encode("utf-16-le")[:-1], REFUSED),
        "UTF-16 without mark": (TEXT.encode("utf-16-le"), REFUSED),
        "UTF-32": (TEXT.encode("utf-32"), REFUSED),
        "Latin-1": (named.encode("latin-1"), REFUSED),
        "UTF-8 names": (named.encode(), READ),
        "NUL in a path": (TEXT.replace("b/3", "b/\0").encode(), REFUSED),
        "NUL at the end": (TEXT.encode() + bytes(1000), REFUSED),
        "binary": (bytes(range(256)) * 50, REFUSED),
        "empty": (b"", REFUSED),
        "blank": (b" \n\t\n" * 1000, REFUSED),
        "blank lines": (TEXT.replace("\n", "\n\n").encode(), READ),
        "no end of line": (TEXT.rstrip("\n").encode(), READ),
        "CR": (TEXT.replace("\n", "\r").encode(), READ),
        "CR in a CSV": (CSV.replace("\n", "\r").encode(), READ),
        "CR LF": (TEXT.replace("\n", "\r\n").encode(), READ),
        "form feeds": (TEXT.replace("\n", "\f").encode(), REFUSED),
        "a very long line": (TEXT.encode() + b"x" * 10**7, REFUSED),
        "a very long field": (CSV.encode() + b"y" * 10**7 + b",a\n", REFUSED),
        "columns without end": (wide.encode(), READ),
        "columns in one line": (CSV.encode() + b"a/0.bmp,a" + b",x" * 10**5, REFUSED),
        "commas": (b"," * 10**6, REFUSED),
        "quote not closed": (CSV.replace("b/3.bmp", '"b/3.bmp').encode(), REFUSED),
        "quote not closed at first": (b'"' + CSV.encode(), REFUSED),
        "quoted": (CSV.replace("b/3.bmp", '"b/3.bmp"').encode(), READ),
        "header alone": (b"path,label\n", REFUSED),
        "header twice": (b"path,label\n" + CSV.encode(), REFUSED),
        "another header": (b"uri,kind\n" + CSV.encode(), REFUSED),
        "label alone": (b"0\n1\n", REFUSED),
        "page": (b"<!doctype html>\n<html><body>not found</body></html>\n", REFUSED),
        "JSON as text": (b'{"images": []}', REFUSED),
        **{f"label {name}": (with_label(label), EITHER) for name, label in labels.items()},
        **{f"path {name}": (with_path(path), EITHER) for name, path in paths.items()},
    }


def records(**changes) -> str:
    """A JSON list with some of its entries changed."""
    content = {
        "images": [{"id": n, "file_name": path} for n, path in enumerate(PATHS)],
        "annotations": [{"image_id": n, "category_id": "ab".index(p[0])} for n, p in enumerate(PATHS)],
        "categories": [{"id": n, "name": name} for n, name in enumerate("ab")],
    }
    return json.dumps({**content, **changes})


def jsons() -> dict[str, tuple[bytes, str]]:
    """Contents of JSON lists, and what has to become of them."""
    first = {"image_id": 0, "category_id": 0}
    image = {"id": 0, "file_name": PATHS[0]}
    kinds = [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}]
    contents = {
        "plain": (records(), READ),
        "deep": ("[" * 100_000, REFUSED),
        "deep objects": ('{"images":' * 100_000, REFUSED),
        "deep within": (records(info=0).replace('"info": 0', '"info": ' + "[" * 900 + "]" * 900), EITHER),
        "long number": (records(info=7).replace('"info": 7', '"info": ' + "9" * 5000), REFUSED),
        "cut": (records()[:-20], REFUSED),
        "more after it": (records() + "}", REFUSED),
        "a list": ("[1, 2]", REFUSED), "null": ("null", REFUSED), "text": ('"images"', REFUSED),
        "empty": ("", REFUSED), "nothing in it": ("{}", REFUSED),
        "no image": (records(images=[], annotations=[]), REFUSED),
        "NaN as category": (records(annotations=[{"image_id": 0, "category_id": float("nan")}]), REFUSED),
        "NaN as image id": (records(images=[{"id": float("nan"), "file_name": PATHS[0]}]), REFUSED),
        "infinite category": (records(categories=[*kinds, {"id": float("inf"), "name": "c"}]), REFUSED),
        "NaN elsewhere": (records(info=float("nan")), EITHER),
        "image twice": (records(images=[image, image]), REFUSED),
        "category twice": (records(categories=[*kinds, kinds[0]]), REFUSED),
        "annotation twice": (records(annotations=[first, first]), REFUSED),
        "lists as ids": (records(images=[{"id": [], "file_name": PATHS[0]}]), REFUSED),
        "objects as categories": (records(annotations=[{"image_id": 0, "category_id": {}}]), REFUSED),
        "true as category": (records(annotations=[{"image_id": 0, "category_id": True}]), REFUSED),
        "negative categories": (records(annotations=[{"image_id": 0, "category_id": -1}]), REFUSED),
        "unknown categories": (records(annotations=[{**first, "category_id": 10**30}]), REFUSED),
        "path that is a number": (records(images=[{"id": 0, "file_name": 5}]), REFUSED),
        "path with NUL": (records(images=[{"id": 0, "file_name": "a/\0.bmp"}], annotations=[first]), REFUSED),
        "half a character": (
            records(images=[{"id": 0, "file_name": "a/\ud800"}], annotations=[first]), REFUSED,
        ),
        "path that leaves": (
            records(images=[{"id": 0, "file_name": "../outside.bmp"}], annotations=[first]), REFUSED,
        ),
        "a key twice": (records()[:-1] + ', "images": []}', EITHER),
    }  # fmt: skip
    marked = codecs.BOM_UTF8 + records().encode(), READ
    return {**{name: (text.encode(), e) for name, (text, e) in contents.items()}, "byte order mark": marked}


def reading(file: Path, folder: Path) -> str:
    """What ``image_list`` and a command make of a list: READ, or REFUSED by a line that names it."""
    began = time.monotonic()
    try:
        data = image_list(root=str(folder), train=str(file), image_size=8, workers=1, in_memory=True)
        data.train.batch(np.arange(len(data.train)))
        said = READ
    except ValueError as error:
        assert str(file) in str(error) or str(folder) in str(error), error
        said = REFUSED
    assert time.monotonic() - began < SECONDS
    return said


@pytest.mark.filterwarnings("ignore::UserWarning")  # lines that repeat a picture, pictures in several classes
@pytest.mark.parametrize("suffix", [".txt", ".csv", ".json"])
def test_odd_lists_are_read_or_refused_in_one_line(folder, survey, suffix):
    lists = jsons() if suffix == ".json" else texts(folder)

    def check(kind: str) -> None:
        content, expected = lists[kind]
        file = folder.parent / f"odd{suffix}"
        file.write_bytes(content)
        became = reading(file, folder)
        assert expected in (EITHER, became), became
        if became == REFUSED:
            one_line(file, folder)

    survey(f"odd list, {suffix}", lists, check)


def one_line(file: Path, folder: Path) -> None:
    """The command on a list that is refused ends in one line of bounded length."""
    command = ["run", "image_list", f"data.root={folder}", f"data.train={file}", "data.image_size=8"]
    rest = ["data.val=null", "data.test=null", "system.device=cpu", "system.threads=1"]
    began = time.monotonic()
    said = [
        line
        for line in failed(1, "--root", folder.parent / "root", *command, *rest)
        if not line.startswith("warning: ")
    ]
    assert time.monotonic() - began < SECONDS
    assert len(said) == 1 and said[0].startswith("error: ") and len(said[0]) < 1000, str(said)[:2000]
    assert str(file) in said[0] or str(folder) in said[0], said
    assert said[0] == for_terminal(said[0]) and "root:x" not in said[0], said
