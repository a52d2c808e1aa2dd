"""MNIST and Fashion-MNIST from the idx files they are published in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from longtail.stages.data import DATASETS, Collection
from longtail.stages.data.files.download import DOWNLOADED_TO, download_files
from longtail.stages.data.files.regular_file import open_regular
from longtail.stages.data.files.user_path import user_path
from longtail.stages.parameters import Location, Permission, wrong
from longtail.stages.wording import searched

if TYPE_CHECKING:
    import numpy as np

MOST_BYTES = 2**32  # of pixels a file may announce, as many as pictures in memory may take
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CLASS_NAMES = {
    "MNIST": [str(digit) for digit in range(10)],
    "FashionMNIST": [
        "t-shirt/top", "trouser", "pullover", "dress", "coat",
        "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ],
}  # fmt: skip
INSTALLED = {
    "MNIST": Path("/usr/share/datasets/mnist"),
    "FashionMNIST": Path("/usr/share/datasets/fashion-mnist"),  # Debian's dataset-fashion-mnist
}
HELP = {
    "MNIST": "set `root=FOLDER` to where they lie, or `download=True` to fetch them",
    "FashionMNIST": "apt-get install dataset-fashion-mnist, set `root=FOLDER` to where they lie, or "
    "`download=True` to fetch them",
}


def sources(*, layout: str, root: str | None = None, download: bool = False) -> list[Path]:
    """The four files: training images and labels, test images and labels.

    The first folder that holds all four counts, torchvision's ``ROOT/<layout>/raw`` (whose name says what it
    holds) before ``ROOT`` itself. If no folder does, `download` fetches them into the former. Raises
    ValueError naming the folders searched.
    """
    roots = [Path(DOWNLOADED_TO), INSTALLED[layout]] if root is None else [user_path(root)]
    folders = [folder for top in roots for folder in (top / layout / "raw", top)]
    missing = []
    for folder in folders:
        paths = [_plain_or_gz(folder / name) for name in FILES]
        if all(paths):
            return paths
        if any(paths):
            lacks = [name for name, path in zip(FILES, paths, strict=True) if path is None]
            missing.append(f"; {folder} lacks {', '.join(lacks)}")
    if download:
        download_files(layout, roots[0], f"{layout}/raw", FILES)
        return sources(layout=layout, root=root)
    raise wrong(
        "root",
        f"no {layout} files ({FILES[0]} and three more, each plain or .gz) in "
        f"{searched(folders)}{''.join(missing)}; {HELP[layout]}",
    )


def _plain_or_gz(path: Path) -> Path | None:
    candidates = path, path.with_name(path.name + ".gz")
    return next((path for path in candidates if path.is_file()), None)


@DATASETS.register("mnist", layout="MNIST")
@DATASETS.register("fashion_mnist", layout="FashionMNIST")
def idx_images(*, layout: str, root: Location | None = None, download: Permission = False) -> Collection:
    """MNIST or Fashion-MNIST: 60,000 + 10,000 grey images of 28×28 pixels in 10 classes.

    `root` holds the four idx files (``train-images-idx3-ubyte``..., each plain or ``.gz``), directly or in
    torchvision's ``<layout>/raw``. Null looks in ``./data``, then where Debian installs them. `download` lets
    torchvision fetch them into `root` (null: ``./data``) when they are nowhere. Returns a training pool of
    6,000 images a class (MNIST: 5,421 to 6,742) and the published test part.

    Raises ValueError, naming the file, when one is missing, damaged or inconsistent with the others.

    Source: MNIST LeCun, Bottou, Bengio, Haffner 1998 (Gradient-based learning applied to document
    recognition); Fashion-MNIST Xiao, Rasul, Vollgraf 2017 (arXiv 1708.07747).
    """
    from longtail.stages.data.pictures.in_memory import ImageArrays

    files = sources(layout=layout, root=root, download=download)
    train, test = _read_pair(*files[:2]), _read_pair(*files[2:])
    if train[0].shape[1:] != test[0].shape[1:]:
        raise ValueError(
            f"{files[2]}: images of {_size(test[0])} pixels, but those of {files[0]} have {_size(train[0])}"
        )
    return Collection(ImageArrays(*train), None, ImageArrays(*test), list(CLASS_NAMES[layout]))


def _size(images: np.ndarray) -> str:
    return f"{images.shape[1]}×{images.shape[2]}"


def _read_pair(image_file: Path, label_file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, 1) uint8 and their labels (N,) uint8, checked against each other."""
    images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
    if len(images) != len(labels) or not images.size:
        raise ValueError(f"{image_file}: {len(images)} images, but {label_file} holds {len(labels)} labels")
    wrong = (labels > 9).nonzero()[0]
    if len(wrong):
        raise ValueError(f"{label_file}: label {wrong[0]} (from 0) must be in 0..9, got {labels[wrong[0]]}")
    return images[..., None], labels


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """An idx file of unsigned bytes as a uint8 array with `ndim` dimensions.

    The format: bytes 0, 0, 8 (unsigned byte), ndim; ndim sizes as big-endian uint32; the values, last
    dimension fastest. Raises ValueError for anything else, and for one byte too few or too many.
    """
    import gzip
    import math
    import zlib

    import numpy as np

    start = 4 + 4 * ndim
    try:
        with open_regular(path) as file:
            stream = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
            data = bytearray(stream.read(start))  # writable, as torch wants its arrays
            shape = _announced_shape(path, bytes(data), ndim)
            expected = start + math.prod(shape)
            data += stream.read(expected - start + 1)  # no more: a few packed bytes may hold any number
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read, perhaps an incomplete download ({error})") from None
    if len(data) != expected:
        got = f"{len(data)} or more" if len(data) > expected else len(data)
        raise ValueError(f"{path}: must hold {expected} bytes, says its header, got {got}; fetch it again")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _announced_shape(path: Path, header: bytes, ndim: int) -> tuple[int, ...]:
    """The shape that an idx file's header announces."""
    import math
    import struct

    magic, start = bytes((0, 0, 8, ndim)), 4 + 4 * ndim
    if header[:4] != magic:
        raise ValueError(f"{path}: must begin with bytes {magic.hex(' ')}, got {header[:4].hex(' ')!r}")
    if len(header) < start:
        raise ValueError(f"{path}: ends inside its header of {start} bytes; fetch it again")
    shape = struct.unpack(f">{ndim}I", header[4:])
    if math.prod(shape) > MOST_BYTES:
        raise ValueError(f"{path}: its header announces {'×'.join(map(str, shape))} bytes, more than 4 GiB")
    return shape
