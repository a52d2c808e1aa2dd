"""CIFAR-10 and CIFAR-100 from small files in their real formats, and pickles that are something else."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from longtail.stages.data import DATASETS, Collection, cifar
from longtail.stages.data.files.unpickle import read_pickle
from tests.places import CHECKOUT
from tests.stages.data.cifar_files import (
    LAYOUT,
    NAMES,
    batches,
    class_names,
    every_data_set,
    every_version,
    fields,
    put,
    python2_bytes,
    write,
    write_binary,
    write_python,
)


def read(name: str, root: Path) -> Collection:
    return DATASETS.get(name)(layout=LAYOUT[name], root=str(root))


# -- what is read -----------------------------------------------------------------------------------------


@every_data_set
@pytest.mark.parametrize("version", ["binary", "python", "python 2"])
def test_every_pixel_and_label_is_where_it_belongs(tmp_path, monkeypatch, name, version):
    made = batches(name)
    if version == "python 2":
        write_python(tmp_path, name, made, monkeypatch, python2_bytes)
    else:
        write(tmp_path, name, version, made, monkeypatch)
    data = read(name, tmp_path)
    for part, parts in ((data.train, made[:-1]), (data.test, made[-1:])):
        assert np.array_equal(part.images.numpy(), np.concatenate([batch.images for batch in parts]))
        assert np.array_equal(part.labels, np.concatenate([batch.fine for batch in parts]))
        assert part.images.is_contiguous() and part.labels.dtype == np.int64
    assert data.val is None
    assert data.class_names == class_names(name)


@every_version
def test_planes_are_red_green_and_blue_row_by_row(tmp_path, monkeypatch, version):
    made = batches("cifar10", per_class=1)
    planes = made[0].planes
    planes[0] = 0
    planes[0, [0, 1, 32]] = 11, 12, 13  # red: first pixel, the next in its row, the first of the next row
    planes[0, 1024] = 21  # green
    planes[0, 3071] = 31  # blue, last pixel
    image = read("cifar10", write(tmp_path, "cifar10", version, made, monkeypatch)).train.images[0]
    assert image[0, 0].tolist() == [11, 21, 0]
    assert image[0, 1].tolist() == [12, 0, 0]
    assert image[1, 0].tolist() == [13, 0, 0]
    assert image[31, 31].tolist() == [0, 0, 31]
    assert int(image.sum()) == 11 + 12 + 13 + 21 + 31


@every_data_set
@every_version
def test_data_set_is_split_and_made_long_tailed(tmp_path, monkeypatch, name, version):
    write(tmp_path, name, version, batches(name, per_class=4), monkeypatch)
    splits = DATASETS.create(
        name,
        root=str(tmp_path),
        profile="exponential",
        imbalance_factor=2,
        max_count=2,
        validation_per_class=1,
    )
    classes = NAMES[name]
    assert splits.num_classes == classes and splits.input_shape == (3, 32, 32)
    assert splits.class_counts[0] == 2 and splits.class_counts[-1] == 1
    assert np.bincount(splits.val.labels).tolist() == [1] * classes
    assert np.bincount(splits.test.labels).tolist() == [4] * classes
    assert splits.train.batch([0, 1]).shape == (2, 3, 32, 32)


# -- where it is looked for -------------------------------------------------------------------------------


@every_data_set
def test_binary_comes_before_python_and_the_own_folder_before_the_root(tmp_path, monkeypatch, name):
    made = batches(name, per_class=1)
    known = cifar.LAYOUTS[LAYOUT[name]]
    order = []
    for version in ("python", "binary"):
        folder, files = getattr(known, version)
        for place in (tmp_path, tmp_path / folder):
            write(place, name, version, made, monkeypatch)
            order.append([place / file for file in files])
            assert DATASETS.sources(name, {"root": str(tmp_path)}) == order[-1]
    assert [path.parent.name for path in (order[1][0], order[3][0])] == {
        "cifar10": ["cifar-10-batches-py", "cifar-10-batches-bin"],
        "cifar100": ["cifar-100-python", "cifar-100-binary"],
    }[name]


def test_cifar_is_looked_for_in_data_below_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("data/cifar-10-batches-bin")
    write_binary(folder, "cifar10", batches("cifar10", 1))
    assert DATASETS.sources("cifar10", {}) == [
        *(folder / f"data_batch_{n}.bin" for n in (1, 2, 3, 4, 5)),
        folder / "test_batch.bin",
        folder / "batches.meta.txt",
    ]


@every_data_set
def test_missing_files_name_the_folders_searched_and_the_fix(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=rf"^root: no {LAYOUT[name]} files in data/cifar-") as error:
        DATASETS.create(name)
    for words in ("-binary.tar.gz there", "`root=FOLDER`", "`download=True` to fetch"):
        assert words in str(error.value)
    assert "\n" not in str(error.value) and "lacks" not in str(error.value)
    assert os.listdir(tmp_path) == []


@every_data_set
@every_version
def test_incomplete_folder_names_what_it_lacks(tmp_path, monkeypatch, name, version):
    write(tmp_path, name, version, batches(name, 1), monkeypatch)
    for gone in getattr(cifar.LAYOUTS[LAYOUT[name]], version)[1][-2:]:  # test batch, class names
        (tmp_path / gone).rename(tmp_path / "aside")
        with pytest.raises(ValueError, match=rf"; {tmp_path} lacks {gone};"):
            DATASETS.sources(name, {"root": str(tmp_path)})
        (tmp_path / "aside").rename(tmp_path / gone)


def test_sources_load_neither_numpy_nor_torch(tmp_path):
    params = {name: {"root": str(write_binary(tmp_path / name, name, batches(name, 1)))} for name in NAMES}
    program = (
        "import json, sys\n"
        "from longtail.stages.data import DATASETS\n"
        "sources = [DATASETS.sources(name, given) for name, given in json.loads(sys.argv[1]).items()]\n"
        "print(all(sources), *(m for m in ('numpy', 'torch', 'torchvision', 'PIL') if m in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(params)],
        capture_output=True,
        text=True,
        check=True,
        cwd=CHECKOUT,
    )
    assert done.stdout == "True\n"


# -- what is refused --------------------------------------------------------------------------------------


@every_data_set
@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b""])
def test_binary_file_of_another_size_is_named(tmp_path, name, damage):
    write_binary(tmp_path, name, batches(name, 1))
    path = tmp_path / cifar.LAYOUTS[LAYOUT[name]].binary[1][0]
    path.write_bytes(damage(path.read_bytes()))
    size, record = path.stat().st_size, {"cifar10": 3073, "cifar100": 3074}[name]
    with pytest.raises(ValueError) as error:
        read(name, tmp_path)
    assert str(error.value) == (
        f"{path}: must hold whole records of {record} bytes, got {size} bytes; fetch it again"
    )


@every_data_set
@every_version
def test_label_out_of_range_names_the_record(tmp_path, monkeypatch, name, version):
    made = batches(name, 1)
    made[-1].fine[3] = NAMES[name]
    write(tmp_path, name, version, made, monkeypatch)
    path = tmp_path / getattr(cifar.LAYOUTS[LAYOUT[name]], version)[1][-2]
    with pytest.raises(ValueError) as error:
        read(name, tmp_path)
    top = NAMES[name] - 1
    message = f"{path}: label of record 3 (from 0) must be in 0..{top}, got {top + 1}; fetch it again"
    assert str(error.value) == message


@every_data_set
@pytest.mark.parametrize("change", [lambda words: words[:-1], lambda words: [*words, "more"]])
def test_names_of_another_number_of_classes_are_refused(tmp_path, name, change):
    write_binary(tmp_path, name, batches(name, 1))
    path = tmp_path / cifar.LAYOUTS[LAYOUT[name]].binary[1][-1]
    path.write_text("\n".join(change(class_names(name))))
    with pytest.raises(ValueError, match=rf"{path.name}: must name {NAMES[name]} classes, got \d+;"):
        read(name, tmp_path)
    path.write_bytes(b"\xff\n" * NAMES[name])
    with pytest.raises(ValueError, match=rf"{path.name}: class names must be UTF-8 text"):
        read(name, tmp_path)


BAD_BATCHES = {
    "no data": ({b"data": None}, r"data must be uint8 \(N, 3072\), got NoneType"),
    "floats": ({b"data": np.zeros((10, 3072), np.float32)}, "got float32"),
    "objects": ({b"data": np.full((10, 3072), None)}, "got object"),
    "width": ({b"data": np.zeros((10, 3071), np.uint8)}, r"got uint8 \(10, 3071\)"),
    "no row": ({b"data": np.zeros((0, 3072), np.uint8)}, r"got uint8 \(0, 3072\)"),
    "no labels": ({b"labels": None}, "labels must be 10 integers, got NoneType"),
    "few labels": ({b"labels": [1] * 9}, "labels must be 10 integers, got 9 integers"),
    "truth values": ({b"labels": [True] * 10}, "labels must be 10 integers, got list"),
    "negative": ({b"labels": [-1] * 10}, r"label of record 0 \(from 0\) must be in 0\.\.9, got -1"),
    "huge": ({b"labels": [2**70] * 10}, r"must be in 0\.\.9, got 1180591620717411303424"),
}


@pytest.mark.parametrize("case", BAD_BATCHES)
def test_python_batch_of_other_content_is_refused(tmp_path, monkeypatch, case):
    change, message = BAD_BATCHES[case]
    made = batches("cifar10", 1)
    write_python(tmp_path, "cifar10", made, monkeypatch)
    content = pickle.dumps({**fields("cifar10", made[1]), **change}, protocol=4)
    put(tmp_path / "data_batch_2", content, monkeypatch)
    with pytest.raises(ValueError, match=rf"data_batch_2: .*{message}.*; fetch it again"):
        read("cifar10", tmp_path)


@pytest.mark.parametrize("names", [None, [b"a"], ["text"] * 10, b"0123456789"])
def test_python_meta_of_other_content_is_refused(tmp_path, monkeypatch, names):
    write_python(tmp_path, "cifar10", batches("cifar10", 1), monkeypatch)
    put(tmp_path / "batches.meta", pickle.dumps({b"label_names": names}), monkeypatch)
    with pytest.raises(ValueError, match=r"batches\.meta: must name 10 classes, got"):
        read("cifar10", tmp_path)


# -- pickles ----------------------------------------------------------------------------------------------


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@every_data_set
@pytest.mark.parametrize("known", [False, True], ids=["another MD5", "the published MD5"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_hostile_pickle_is_refused_and_runs_nothing(tmp_path, monkeypatch, name, known, protocol):
    made, mark = batches(name, 1), tmp_path / "ran"
    write_python(tmp_path, name, made, monkeypatch)
    content = pickle.dumps({**fields(name, made[0]), b"data": Trap(mark)}, protocol)
    for path in (tmp_path / cifar.LAYOUTS[LAYOUT[name]].python[1][n] for n in (-1, 0)):
        kept, digest = path.read_bytes(), hashlib.md5(content).hexdigest()
        path.write_bytes(content)
        if known:
            put(path, content, monkeypatch)
            message = rf"{path.name}: must be pickled plain containers and arrays, but it asks for _?io\.open"
        else:
            message = rf"{path.name}: must have the published MD5 [0-9a-f]{{32}}, got {digest}"
        with pytest.raises(ValueError, match=message) as error:
            read(name, tmp_path)
        assert "\n" not in str(error.value)
        assert not mark.exists()
        put(path, kept, monkeypatch)
    assert Trap(mark).__reduce__()[0](mark, "w").close() is None and mark.exists()  # the trap does work


GLOBALS = [
    "os system",
    "posix system",
    "builtins eval",
    "__builtin__ eval",
    "builtins getattr",
    "subprocess Popen",
    "numpy load",
    "numpy.core.multiarray scalar",
    "numpy ndarray.tofile",
    "numpy.lib.npyio load",
    "_codecs lookup",
    "codecs open",
    "collections OrderedDict",
    "copyreg _reconstructor",
]


@pytest.mark.parametrize("asked", GLOBALS)
def test_pickle_may_name_nothing_but_arrays(tmp_path, asked):
    module, word = asked.split()
    old = f"c{module}\n{word}\n.".encode()
    new = (
        b"\x80\x04" + b"".join(b"\x8c%c%s" % (len(p), p) for p in (module.encode(), word.encode())) + b"\x93."
    )
    for content in (old, new):
        (tmp_path / "p").write_bytes(content)
        with pytest.raises(ValueError, match=rf"but it asks for {module}\.{word}$"):
            read_pickle(tmp_path / "p", hashlib.md5(content).hexdigest())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "but "),
        (b"\x80\x02}", "but "),
        (b"no pickle at all", "but "),
        (b"\x82\x01.", "but "),  # an extension code
        (b"Pplace\n.", "but "),  # a persistent id
        (b"\x80\x02].", "must hold a dict, got list"),
        (b"\x80\x02K\x01.", "must hold a dict, got int"),
    ],
)
def test_what_is_no_pickled_dict_is_refused(tmp_path, content, message):
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(ValueError, match=rf"/p: .*{message}") as error:
        read_pickle(tmp_path / "p", hashlib.md5(content).hexdigest())
    assert "\n" not in str(error.value)


def test_python_file_cut_short_is_known_by_its_md5(tmp_path, monkeypatch):
    write_python(tmp_path, "cifar100", batches("cifar100", 1), monkeypatch)
    path = tmp_path / "train"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"train: must have the published MD5 [0-9a-f]{32}, got"):
        read("cifar100", tmp_path)


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_arrays_are_known_under_numpys_old_and_new_name(tmp_path, module):
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    content = pickle.dumps({b"data": array}, protocol=2)
    for word in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        content = content.replace(b"c" + word + b"\n", b"c" + module.encode() + b"\n")
    (tmp_path / "p").write_bytes(content)
    assert np.array_equal(read_pickle(tmp_path / "p", hashlib.md5(content).hexdigest())[b"data"], array)


def test_md5s_are_those_torchvision_publishes():
    from torchvision import datasets

    for layout, known in cifar.LAYOUTS.items():
        published = getattr(datasets, layout)
        folder, files = known.python
        assert folder == published.base_folder
        listed = dict([*published.train_list, *published.test_list])
        listed[published.meta["filename"]] = published.meta["md5"]
        assert listed == cifar.MD5[layout] and list(listed) == list(files)
        assert known.names_key.decode() == published.meta["key"]
