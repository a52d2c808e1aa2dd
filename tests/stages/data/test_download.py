"""Downloading, with a torchvision that makes the files itself: no test touches the network."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.error import URLError

import pytest
from torchvision import datasets

from longtail.stages.data import DATASETS, cifar, idx_images

IDX = tuple(("MNIST/raw", name) for name in idx_images.FILES)
FILES = {  # data set: torchvision's class, and the files it makes
    "mnist": ("MNIST", IDX),
    "fashion_mnist": ("FashionMNIST", tuple(("FashionMNIST/raw", name) for name in idx_images.FILES)),
    **{
        layout.lower(): (layout, tuple((known.python[0], name) for name in known.python[1]))
        for layout, known in cifar.LAYOUTS.items()
    },
}
every_data_set = pytest.mark.parametrize("name", FILES)


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """Where torchvision was asked to download to, once for each time."""
    monkeypatch.setattr(idx_images, "INSTALLED", {"MNIST": Path("/gone"), "FashionMNIST": Path("/gone")})
    asked = []

    def download(files, root, *, download):
        assert download is True
        asked.append(str(root))
        for folder, name in files:
            (Path(root) / folder).mkdir(parents=True, exist_ok=True)
            (Path(root) / folder / name).write_text(f"fetched {name}")
        (Path(root) / "archive.tar.gz").touch()

    for layout, files in FILES.values():
        monkeypatch.setattr(
            datasets, layout, lambda root, files=files, **options: download(files, root, **options)
        )
    return asked


@every_data_set
def test_missing_files_are_fetched_once_into_the_root(tmp_path, calls, name):
    root = tmp_path / "new" / "root"
    params = {"root": str(root), "download": True}
    expected = [root / folder / file for folder, file in FILES[name][1]]
    DATASETS.download(name, params)
    assert DATASETS.sources(name, params) == expected
    DATASETS.download(name, params)
    assert DATASETS.sources(name, params) == expected
    assert DATASETS.sources(name, {"root": str(root)}) == expected
    assert len(calls) == 1
    assert sorted(p for p in root.rglob("*") if p.is_file()) == sorted(expected)  # no archive, nothing aside
    assert os.listdir(root) == [FILES[name][1][0][0].split("/")[0]]


@every_data_set
def test_files_are_fetched_into_data_below_the_working_folder(tmp_path, monkeypatch, calls, name):
    monkeypatch.chdir(tmp_path)
    DATASETS.download(name, {"download": True})
    sources = DATASETS.sources(name, {"download": True})
    assert sources == [Path("data") / folder / file for folder, file in FILES[name][1]]
    assert Path(calls[0]).parent == Path("data")


@every_data_set
def test_nothing_is_fetched_without_permission(tmp_path, monkeypatch, calls, name):
    monkeypatch.chdir(tmp_path)
    for params in ({}, {"download": False}, {"root": "here"}):
        with pytest.raises(ValueError, match=r"`download=True` to fetch them"):
            DATASETS.sources(name, params)
    assert calls == [] and os.listdir(tmp_path) == []


@every_data_set
def test_what_is_there_is_not_fetched_again(tmp_path, calls, name):
    folder, file = FILES[name][1][0]
    DATASETS.download(name, {"root": str(tmp_path), "download": True})
    (tmp_path / folder / file).write_text("mine")
    gone = tmp_path / FILES[name][1][-1][0] / FILES[name][1][-1][1]
    gone.unlink()
    DATASETS.download(name, {"root": str(tmp_path), "download": True})
    assert len(calls) == 2
    assert (tmp_path / folder / file).read_text() == "mine"
    assert gone.read_text() == f"fetched {gone.name}"


def test_cifar_is_not_fetched_where_the_binary_version_lies(tmp_path, calls):
    for name in cifar.LAYOUTS["CIFAR100"].binary[1]:
        (tmp_path / name).touch()
    assert DATASETS.sources("cifar100", {"root": str(tmp_path), "download": True})[0].name == "train.bin"
    assert calls == []


@every_data_set
@pytest.mark.parametrize(
    "error",
    [
        URLError(OSError(-2, "Name or service not known")),
        RuntimeError("Error downloading x:\nTried y, got:\nNo route to host"),
        OSError(28, "No space left on device"),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_failure_to_fetch_is_one_line_and_leaves_nothing_behind(tmp_path, monkeypatch, calls, name, error):
    layout = FILES[name][0]

    def fail(root, *, download):
        (Path(root) / "half").write_text("half")
        raise error

    monkeypatch.setattr(datasets, layout, fail)
    with pytest.raises(ValueError) as caught:
        DATASETS.create(name, root=str(tmp_path), download=True)
    cause = " ".join(str(error).split()) or "TimeoutError"
    assert str(caught.value).startswith(f"download: {layout} could not be fetched into {tmp_path} ({cause});")
    assert "\n" not in str(caught.value) and "`root=FOLDER`" in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_root_that_cannot_be_made_is_named(tmp_path, calls):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"^download: CIFAR10 could not be fetched into .*file/below"):
        DATASETS.download("cifar10", {"root": str(tmp_path / "file" / "below"), "download": True})
    assert calls == []


def test_download_must_be_true_or_false():
    with pytest.raises(ValueError, match=r"download: must be true or false, got 'yes'"):
        DATASETS.create("cifar10", download="yes")
