"""The formats of list files: what is read, what is refused and with which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from longtail.pipeline.config.components import check_spec
from longtail.stages.data import DATASETS
from longtail.stages.data.files.lists.picture_lists import read_lists

PATHS = ("a/1.png", "a/2.png", "b/1.png", "c/x y.png")
NUMBERS = (list(PATHS), [0, 0, 1, 2])


def read(root: Path, content: str | bytes | dict, *, name="train.txt", **params) -> tuple:
    """Paths, labels and class names of a list with this content, whose pictures are there."""
    for path in PATHS:
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).touch()
    content = json.dumps(content) if isinstance(content, dict) else content
    (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for part in ("val", "test", "class_names"):
        if part in params:
            (root / part).write_text(params[part])
            params[part] = str(root / part)
    given = {"val": None, "test": None, "class_names": None, **params}
    lists, names = read_lists(str(root), train=str(root / name), **given)
    return lists["train"].paths, lists["train"].labels, names


SPACES = "a/1.png 0\na/2.png 0\nb/1.png 1\nc/x y.png 2\n"
COMMAS = "a/1.png,0\na/2.png,0\nb/1.png,1\nc/x y.png,2\n"
NAMES = "a/1.png wolf\na/2.png wolf\nb/1.png ant\nc/x y.png bee\n"
HEADERS = (
    "path,label", "filename,class", "image,category", "File,Category_ID", '"image path","class id"',
    "img_path,target",
)  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        SPACES, SPACES.replace(" 0", "\t0"), "\n" + SPACES.replace("\n", "\n\n"),
        SPACES.replace("\n", "\r\n"),
        SPACES.replace("\n", "\r"), SPACES.strip(), "\ufeff" + SPACES, SPACES.encode("utf-16"),
        b"\xfe\xff" + SPACES.encode("utf-16-be"), "path label\n" + SPACES, SPACES.replace("/", "\\"),
        COMMAS, COMMAS.replace(",", ", "), COMMAS.replace(",", ";"), COMMAS.replace(",", "\t"),
        "\ufeff" + COMMAS.replace("\n", "\r\n"), COMMAS.replace("c/x y.png", '"c/x y.png"').encode("utf-16"),
        COMMAS.replace("/", "\\"), *(f"{header}\n{COMMAS}" for header in HEADERS),
        "id,label,width,path\n" + "".join(f"9,{n},32,{p}\n" for p, n in zip(*NUMBERS, strict=True)),
        "path;label;split\n" + COMMAS.replace(",", ";").replace("\n", ";train\n"),
    ],
)  # fmt: skip
def test_lists_of_numbers_are_read(tmp_path, content):
    assert read(tmp_path, content) == (*NUMBERS, ["a", "b", "c"])


@pytest.mark.parametrize(
    "content",
    [
        NAMES, NAMES.replace(" wolf", "\twolf").replace(" ant", "\tant").replace(" bee", "\tbee"),
        "image,species\na/1.png,wolf\na/2.png,wolf\nb/1.png,ant\nc/x y.png,bee\n",
        'a/1.png,"wolf"\na/2.png,wolf\n"b/1.png",ant\nc/x y.png,bee\n',
    ],
)  # fmt: skip
def test_lists_of_names_are_numbered_in_their_order(tmp_path, content):
    assert read(tmp_path, content) == (list(PATHS), [2, 2, 0, 1], ["ant", "bee", "wolf"])
    named = read(tmp_path, content, class_names="bee\nwolf\nyak\nant\n")
    assert named == (list(PATHS), [1, 1, 3, 0], ["bee", "wolf", "yak", "ant"])


def test_names_may_hold_spaces_and_commas_in_a_csv(tmp_path):
    content = 'path,class\na/1.png,"wolf, grey"\nb/1.png,great white\n'
    assert read(tmp_path, content)[1:] == ([1, 0], ["great white", "wolf, grey"])


def coco(*ids: int, names=("wolf", "ant", "bee"), used=(0, 0, 1, 2)) -> dict:
    return {
        "images": [{"id": 7 + n, "file_name": path} for n, path in enumerate(PATHS)],
        "annotations": [{"image_id": 7 + n, "category_id": ids[c]} for n, c in enumerate(used)],
        "categories": [{"id": i, "name": name} for i, name in zip(ids, names, strict=True)],
    }


@pytest.mark.parametrize("ids", [(0, 1, 2), (1, 2, 3), (5, 17, 90), (-1, 0, 4)])
def test_categories_of_any_ids_are_numbered_in_order_and_named(tmp_path, ids):
    content = coco(*ids)
    content["categories"].reverse()
    assert read(tmp_path, content, name="a.json") == (*NUMBERS, ["wolf", "ant", "bee"])


def test_offset_is_subtracted(tmp_path):
    content = COMMAS.replace(",2", ",3").replace(",1", ",2").replace(",0", ",1")
    assert read(tmp_path, content, label_offset=1) == (*NUMBERS, ["a", "b", "c"])
    assert read(tmp_path, content, label_offset=1, class_names="x\ny\nz\n")[2] == ["x", "y", "z"]
    assert read(tmp_path, content, class_names="w\nx\ny\nz\n") == (
        list(PATHS),
        [1, 1, 2, 3],
        ["w", "x", "y", "z"],
    )


def test_offset_is_part_of_an_id_only_when_it_is_set():
    spec = {"name": "image_list", "root": "r", "train": "t"}
    assert "label_offset" not in check_spec("datasets", {**spec, "label_offset": 0}).minimal()
    assert check_spec("datasets", {**spec, "label_offset": 1}).minimal()["label_offset"] == 1


def test_numbers_that_are_read_today_keep_what_identifies_them(tmp_path):
    read(tmp_path, SPACES)

    def identity():
        params = {"root": str(tmp_path), "train": str(tmp_path / "train.txt")}
        *classes, files = DATASETS.sources("image_list", params)
        return classes, files.lines(files.sizes())

    plain = identity()
    read(tmp_path, "\ufeffpath,label\r\n" + COMMAS.replace("\n", "\r\n"))
    assert identity() == plain


@pytest.mark.parametrize(
    ("content", "params", "message"),
    [
        (SPACES.replace(" 2", " 3").replace(" 1", " 2").replace(" 0", " 1"), {}, "train.txt: labels are 1…3, "
         "and classes count from 0: subtract 1 with `label_offset=1`, or name 4 classes in `class_names`$"),
        ("a/1.png 1000\nb/1.png 1010\n", {}, "labels are 1000…1010, .*`label_offset=1000`, or name 1011"),
        ("a/1.png 2\nb/1.png 3\n", {"label_offset": 1}, "labels are 2…3.* `label_offset=2`"),
        ("a/1.png 1\nb/1.png 2\n", {"class_names": "x\ny\n"}, "line 2: label must be in 0..1, got 2; all "
         "labels are from 1 on: subtract 1 with `label_offset=1`$"),
        (SPACES, {"label_offset": 1}, "line 1: label must be ≥ `label_offset` \\(1\\), got 0"),
        (NAMES, {"label_offset": 1}, "^label_offset: is for labels that are numbers, those of .* have names"),
        (coco(1, 2, 3), {"label_offset": 1}, "^label_offset: is for labels that are numbers"),
        (NAMES, {"test": "b/1.png 0\n"}, "test, line 1: label must be a name as in the training list, got 0"),
        (SPACES, {"test": "b/1.png ant\n"}, "line 1: label must be a number as in the .* got 'ant'"),
        (NAMES, {"test": "b/1.png owl\n"}, "test, line 1: label must be one of ant, bee, wolf, got 'owl'"),
        (coco(1, 2, 3), {"test": "b/1.png 2\n"}, "test, line 1: label must be a name as in the training"),
        (NAMES, {"class_names": "ant\nbee\nwolf\nwolf\n"}, "label 'wolf' is the name of several classes"),
        ("a/1.png 0\nb/1.png cat\n", {}, "train.txt, line 2: label must be an integer ≥ 0, got 'cat'$"),
        ("pic,nr\na/1.png,0\n", {}, "line 1: label must be .*got 'nr'; a header must name the columns"),
        ("a/1.png 0.5\nb/1.png 1.5\n", {}, "line 1: label must be an integer ≥ 0, got '0.5'"),
        ("a/1.png nan\nb/1.png nan\n", {}, "line 1: label must be an integer ≥ 0, got 'nan'"),
        (f"a/1.png {'9' * 5000}\n", {}, "line 1: label must be an integer ≥ 0, got '9{50}'"),
        ("a/1.png\nb/1.png\n", {}, "line 1: must be 'relative/path label', or CSV whose .* got 'a/1.png'"),
        ("c/x y.png\n", {}, "line 1: must be 'relative/path label'.* got 'c/x y.png'"),
        ("a/1.png,0\nb/1.png\n", {}, "line 2: has 1 columns where the first line has 2"),
        ("a/1.png,0,9\nb/1.png,1,9\n", {}, "line 1: must be 'relative/path label', or CSV whose header"),
        ("path,label\na/1.png,\n", {}, "line 2: must be .* got 'a/1.png' and ''"),
        ('path,label\n"a/1.png,0\n', {}, "line 2: is not CSV"),
        ("path,label,class\na/1.png,0,1\n", {}, "line 1: each of label, class may be the label; keep"),
        ("path,label,split\na/1.png,0,train\nb/1.png,1,test\n", {}, "holds several splits \\(test, train"),
        ("caf\xe9/1.png 0\n".encode("latin-1"), {}, "line 1: is not UTF-8 \\(byte 0xe9\\), perhaps Latin-1; "
         "convert it: iconv -f LATIN1 -t UTF-8 .*/train.txt > .*/train-utf8.txt$"),
        ("a/1.png 0\ncaf\xe9 1\n".encode("latin-1"), {}, "line 2: is not UTF-8"),
        (SPACES.encode("utf-16-le"), {}, "line 1: holds a byte 0, .*iconv -f UTF-16LE -t UTF-8 "),
        (SPACES.encode("utf-32"), {}, "line 1: is UTF-32; convert it: iconv -f UTF-32 -t"),
        (SPACES.encode("utf-16")[:-1], {}, "begins as UTF-16 and is damaged"),
        ("", {}, "names no picture"), ("path,label\n", {}, "names no picture"),
        ("\ufeff", {}, "names no picture"),
        ({"images": [], "annotations": []}, {}, "names no picture"),
        (coco(1, 2, 3) | {"categories": [{"id": "1", "name": "a"}]}, {}, "category id '1' is no integer"),
        (coco(1, 2, 3) | {"categories": [{"id": 1, "name": "a"}]}, {}, "category_id 2 is not among the cat"),
        (coco(1, 2, 3, used=(0, 0, 1)), {}, "image 10: needs a file_name and a category_id ≥ 0, got 'c/x"),
    ],
)  # fmt: skip
def test_lists_that_are_unclear_are_refused_with_the_way_out(tmp_path, content, params, message):
    name = "train.json" if isinstance(content, dict) else "train.txt"
    with pytest.raises(ValueError, match=message):
        read(tmp_path, content, name=name, **params)


def test_backslashes_stay_where_a_file_is_named_so(tmp_path):
    (tmp_path / "a\\1.png").touch()
    assert read(tmp_path, "a\\1.png 0\nb\\1.png 1\n")[0] == ["a\\1.png", "b/1.png"]
