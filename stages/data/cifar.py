"""CIFAR-10 and CIFAR-100 from the files they are published in, binary or pickled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.stages.data import DATASETS, Collection
from longtail.stages.data.files.download import DOWNLOADED_TO, download_files
from longtail.stages.data.files.regular_file import read_bytes
from longtail.stages.data.files.unpickle import MOST_BYTES, read_pickle
from longtail.stages.data.files.user_path import user_path
from longtail.stages.parameters import Location, Permission, wrong
from longtail.stages.wording import searched

if TYPE_CHECKING:
    import numpy as np

SIDE = 32
PIXELS = 3 * SIDE * SIDE  # bytes of an image: a plane each of red, green and blue, row by row


@dataclass(frozen=True)
class Layout:
    """What differs between the two data sets.

    A version's files are the training batches, the test batch and the class names. The keys are those of the
    python version. In the binary one `label_bytes` come before the pixels, the last of them the label.
    """

    binary: tuple[str, tuple[str, ...]]
    python: tuple[str, tuple[str, ...]]
    classes: int
    label_bytes: int
    labels_key: bytes
    names_key: bytes
    archive: str


LAYOUTS = {
    "CIFAR10": Layout(
        binary=(
            "cifar-10-batches-bin",
            (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin", "batches.meta.txt"),
        ),
        python=(
            "cifar-10-batches-py",
            (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"),
        ),
        classes=10,
        label_bytes=1,
        labels_key=b"labels",
        names_key=b"label_names",
        archive="cifar-10-binary.tar.gz",
    ),
    "CIFAR100": Layout(
        binary=("cifar-100-binary", ("train.bin", "test.bin", "fine_label_names.txt")),
        python=("cifar-100-python", ("train", "test", "meta")),
        classes=100,
        label_bytes=2,  # coarse, fine
        labels_key=b"fine_labels",
        names_key=b"fine_label_names",
        archive="cifar-100-binary.tar.gz",
    ),
}
MD5 = {  # of the python version's files, from torchvision.datasets.CIFAR10 and CIFAR100 (0.29)
    "CIFAR10": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    "CIFAR100": {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
}


def sources(*, layout: str, root: str | None = None, download: bool = False) -> list[Path]:
    """The files of one version: training batches, test batch, class names.

    The first folder that holds all of them counts: the binary version's before the python version's, and
    either's own folder below ``ROOT`` before ``ROOT`` itself. If no folder does, `download` fetches the
    python version. Raises ValueError naming the folders searched.
    """
    known = LAYOUTS[layout]
    top = Path(DOWNLOADED_TO) if root is None else user_path(root)
    missing = []
    for folder, names in (known.binary, known.python):
        for place in (top / folder, top):
            lacks = [name for name in names if not (place / name).is_file()]
            if not lacks:
                return [place / name for name in names]
            if len(lacks) < len(names):
                missing.append(f"; {place} lacks {', '.join(lacks)}")
    if download:
        download_files(layout, top, *known.python)
        return sources(layout=layout, root=root)
    places = (top / known.binary[0], top / known.python[0], top)
    raise wrong(
        "root",
        f"no {layout} files in {searched(places)}{''.join(missing)}; unpack {known.archive} there, "
        "set `root=FOLDER` to where they lie, or `download=True` to fetch them",
    )


@DATASETS.register("cifar10", layout="CIFAR10")
@DATASETS.register("cifar100", layout="CIFAR100")
def cifar(*, layout: str, root: Location | None = None, download: Permission = False) -> Collection:
    """CIFAR-10 or CIFAR-100: 50,000 + 10,000 colour images of 32×32 pixels in 10 or 100 classes.

    `root` holds the binary version (``cifar-10-batches-bin``, ``cifar-100-binary``) or the python version
    (``cifar-10-batches-py``, ``cifar-100-python``), the folder or its files; null looks in ``./data``.
    `download` lets torchvision fetch the python version into `root` (null: ``./data``) when neither is there.
    Returns a training pool of 5,000 (CIFAR-100: 500) images a class and the published test part; CIFAR-100's
    classes are the fine ones. Both versions hold the same images, but in other bytes: results computed from
    one are not reused with the other.

    The python version is pickled: a file is opened only when it has the published MD5, and then by an
    unpickler that makes plain containers and arrays and nothing else. Raises ValueError, naming the file,
    when one is missing, damaged or not what was published.

    Source: Krizhevsky 2009, Learning multiple layers of features from tiny images
    (https://www.cs.toronto.edu/~kriz/cifar.html); long-tailed versions Cui 2019 (arXiv 1901.05555), Cao 2019
    (1906.07413).
    """
    import numpy as np

    from longtail.stages.data.pictures.in_memory import ImageArrays

    *train, test, names = sources(layout=layout, root=root, download=download)
    class_names = read_names(names, layout)
    read = read_binary if test.suffix == ".bin" else read_python
    images, labels = zip(*(read(path, layout) for path in train), strict=True)
    pool = ImageArrays(np.concatenate(images), np.concatenate(labels))
    return Collection(pool, None, ImageArrays(*read(test, layout)), class_names)


def read_binary(path: Path, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) uint8 and labels (N,) of one batch of the binary version.

    The format: N records of 1 (CIFAR-100: 2, coarse and fine) label bytes and 3·32·32 pixels. Raises
    ValueError for a part of a record, no record, and labels out of range.
    """
    import numpy as np

    before = LAYOUTS[layout].label_bytes
    data, size = read_bytes(path, MOST_BYTES), before + PIXELS
    if not data or len(data) % size:
        raise ValueError(
            f"{path}: must hold whole records of {size} bytes, got {len(data)} bytes; fetch it again"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, size)
    return _images(records[:, before:]), _labels(path, records[:, before - 1], layout)


def read_python(path: Path, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) uint8 and labels (N,) of one batch of the python version.

    The format: a pickled dict with ``data``, (N, 3·32·32) uint8, and a list of N integers under ``labels``
    (CIFAR-100: ``fine_labels``). Raises ValueError for another MD5, other content, and labels out of range.
    """
    import numpy as np

    key = LAYOUTS[layout].labels_key
    batch = read_pickle(path, MD5[layout][path.name])
    pixels, labels = batch.get(b"data"), batch.get(key)
    shape = getattr(pixels, "shape", None)
    if shape is None or pixels.dtype != np.uint8 or len(shape) != 2 or shape[1] != PIXELS or not shape[0]:
        got = type(pixels).__name__ if shape is None else f"{pixels.dtype} {shape}"
        raise ValueError(f"{path}: data must be uint8 (N, {PIXELS}), got {got}; fetch it again")
    are_integers = isinstance(labels, list) and all(type(label) is int for label in labels)
    if not are_integers or len(labels) != len(pixels):
        got = f"{len(labels)} integers" if are_integers else type(labels).__name__
        raise ValueError(f"{path}: {key.decode()} must be {len(pixels)} integers, got {got}; fetch it again")
    return _images(pixels), _labels(path, np.array(labels), layout)


def read_names(path: Path, layout: str) -> list[str]:
    """What the classes are called: the lines of a text file, or a list in a pickled dict."""
    known = LAYOUTS[layout]
    if path.suffix == ".txt":
        names = [line.strip() for line in read_bytes(path, MOST_BYTES).splitlines() if line.strip()]
    else:
        names = read_pickle(path, MD5[layout][path.name]).get(known.names_key)
    is_list = isinstance(names, list) and all(isinstance(name, bytes) for name in names)
    if not is_list or len(names) != known.classes:
        got = len(names) if is_list else type(names).__name__
        raise ValueError(f"{path}: must name {known.classes} classes, got {got}; fetch it again")
    try:
        return [name.decode() for name in names]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: class names must be UTF-8 text ({error}); fetch it again") from None


def _images(pixels: np.ndarray) -> np.ndarray:
    """Channel planes (N, 3·32·32) as images (N, 32, 32, 3), copied."""
    import numpy as np

    return np.ascontiguousarray(pixels.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))


def _labels(path: Path, labels: np.ndarray, layout: str) -> np.ndarray:
    classes = LAYOUTS[layout].classes
    wrong = ((labels < 0) | (labels >= classes)).nonzero()[0]
    if len(wrong):
        raise ValueError(
            f"{path}: label of record {wrong[0]} (from 0) must be in 0..{classes - 1}, "
            f"got {labels[wrong[0]]}; fetch it again"
        )
    return labels
