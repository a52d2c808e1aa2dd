"""Features that somebody else extracted, as arrays on disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.stages.data import DATASETS, Collection
from longtail.stages.parameters import Location, wrong
from longtail.stages.wording import listed, looked_for

if TYPE_CHECKING:
    import numpy as np
    import torch

PARTS = ("train", "val", "test")
STYLES = ("{part}.{array}", "{array}_{part}", "{array}")  # the last, X and y alone, is a training pool
MAX_CLASSES = 1_000_000  # a larger label is somebody's identifier, not a class number
CHUNK = 2**22  # values checked at a time
SHOWN = 10  # bad rows an error lists


class FeatureArrays:
    """Features X (M, D) of any float type, often a memory map, of which `indices` (N,) belong to this part.

    ``labels`` is (N,) int64. Nothing of X is read before :meth:`batch` asks for it. Without `indices` every
    row belongs, N = M.
    """

    def __init__(self, X, labels, indices=None, *, device="cpu"):
        import numpy as np

        self.X = np.asanyarray(X)
        self.labels = np.asarray(labels, np.int64)
        self.indices = None if indices is None else np.asarray(indices, np.int64)
        self.device = device
        rows = len(self.X) if indices is None else len(self.indices)
        if self.X.ndim != 2 or self.labels.shape != (rows,):
            raise ValueError(
                f"features must be (N, D) with labels (N,), got {self.X.shape} and {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Sequence[int]) -> torch.Tensor:
        """Features (B, D) float32, by index, on the part's device."""
        import numpy as np
        import torch

        rows = np.asarray(indices, np.int64)
        rows = rows if self.indices is None else self.indices[rows]
        return torch.from_numpy(np.asarray(self.X[rows], np.float32)).to(self.device)

    def take(self, indices: np.ndarray, labels: np.ndarray) -> FeatureArrays:
        """The rows at `indices`, relabelled, over the same X: nothing is copied."""
        rows = indices if self.indices is None else self.indices[indices]
        return FeatureArrays(self.X, labels, rows, device=self.device)

    def normalized_like(self, train: FeatureArrays) -> FeatureArrays:
        """This part: features are used as they are."""
        return self

    def to(self, device) -> FeatureArrays:
        """The same part with its batches on `device`."""
        return FeatureArrays(self.X, self.labels, self.indices, device=device)

    @property
    def constants(self) -> dict[str, list[float]]:
        """What :meth:`batch` does to a value: nothing."""
        return {}

    @property
    def preprocessing(self) -> None:
        """Features are no pictures."""
        return None


def sources(*, root: str) -> list[str | Path]:
    """The archive, or the folder's files, each after what it stands for (``"train.X"``)."""
    where = _existing(root)
    if where.is_file():
        return [where]
    entries: list[str | Path] = []
    for part, names in _pairs(_names(where), where).items():
        for array, name in zip("Xy", names, strict=True):
            entries += [f"{part}.{array}", where / f"{name}.npy"]
    class_names = where / "class_names.json"
    return [*entries, "class_names", class_names] if class_names.is_file() else entries


@DATASETS.register("feature_arrays", facts={"holds_features": True})
def feature_arrays(*, root: Location) -> Collection:
    """Features (N, D) with labels (N,) in a folder of ``.npy`` files or in one ``.npz`` archive.

    Array names: ``train.X`` and ``train.y`` (a folder: ``train.X.npy``), optionally ``val.*`` and ``test.*``;
    or ``X_train``, ``y_train``, ``X_val``...; or ``X`` and ``y`` alone. A part that is not there is held out
    of train. X is float16, 32 or 64 and stays on disk as a memory map (an archive is read into memory); y
    holds integers ≥ 0. ``class_names.json`` (a list; in an archive the text array ``class_names``) names the
    classes; otherwise they are '0', '1'... up to the largest label of any part. Files are never unpickled.

    Raises ValueError naming the file, and the rows, for features that are not finite as float32, labels out
    of range, and shapes or types that do not fit.

    Source: your own features.
    """
    where = _existing(root)
    names = _names(where)
    class_names = _class_names(where, names)
    parts: dict[str, FeatureArrays] = {}
    for part, (x_name, y_name) in _pairs(names, where).items():
        X, y = _load(where, x_name), _load(where, y_name)
        check_features(X, _file(where, x_name))
        _check_labels(y, _file(where, y_name), None if class_names is None else len(class_names))
        if len(X) != len(y):
            raise ValueError(f"{_file(where, x_name)}: {len(X)} rows, but {y_name} holds {len(y)} labels")
        parts[part] = FeatureArrays(X, y)
        if X.shape[1] != parts["train"].X.shape[1]:
            raise ValueError(
                f"{_file(where, x_name)}: {X.shape[1]} features a row, but the training part has "
                f"{parts['train'].X.shape[1]}"
            )
    if class_names is None:
        class_names = [str(c) for c in range(1 + max(int(part.labels.max()) for part in parts.values()))]
    return Collection(parts["train"], parts.get("val"), parts.get("test"), class_names)


def _existing(root: str | Path) -> Path:
    where = Path(root).expanduser()
    if where.is_dir() or (where.is_file() and where.suffix == ".npz"):
        return where
    raise wrong("root", f"must be a folder of .npy files or an .npz file, got {looked_for(root)}")


def _names(where: Path) -> set[str]:
    """What the arrays in a folder or an archive are called."""
    if where.is_dir():
        return {path.stem for path in where.glob("*.npy")}
    import zipfile

    try:
        with zipfile.ZipFile(where) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{where}: cannot be read as an .npz archive ({error})") from None


def _pairs(names: set[str], where: Path) -> dict[str, tuple[str, str]]:
    """``{"train": ("X_train", "y_train"), ...}``: the arrays of each part that is there."""
    arrays = {}
    for part in PARTS:
        styles = STYLES if part == "train" else STYLES[:2]
        pairs = [tuple(style.format(part=part, array=array) for array in "Xy") for style in styles]
        pairs = [pair for pair in pairs if not names.isdisjoint(pair)]
        if len(pairs) > 1:
            raise ValueError(f"{where}: holds both {pairs[0][0]} and {pairs[1][0]} for {part}; keep one")
        for pair in pairs:
            for name, partner in (pair, pair[::-1]):
                if name not in names:
                    raise ValueError(f"{_file(where, name)}: is missing, though {partner} is there")
            arrays[part] = pair
    if "train" not in arrays:
        some = listed(sorted(names), SHOWN) or "no array"
        raise wrong("root", f"{where} must hold train.X and train.y, or X and y; holds {some}")
    used = {name for pair in arrays.values() for name in pair}
    unknown = [name for name in sorted(names - used) if re.fullmatch(r"[Xy]_.*|.*\.[Xy]", name)]
    if unknown:
        raise ValueError(f"{_file(where, unknown[0])}: belongs to no part: {', '.join(PARTS)}")
    return arrays


def _file(where: Path, name: str) -> str:
    return str(where / f"{name}.npy") if where.is_dir() else f"{where} [{name}]"


def _load(where: Path, name: str) -> np.ndarray:
    """An array by name: a memory map in a folder, in memory from an archive."""
    import numpy as np

    try:
        if where.is_dir():
            array = np.load(where / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        else:
            with np.load(where, allow_pickle=False) as archive:
                array = archive[name]
    except Exception as error:  # numpy and zipfile raise a dozen kinds
        reason = "holds Python objects, not numbers" if "allow_pickle" in str(error) else error
        raise ValueError(f"{_file(where, name)}: cannot be read: {reason}") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{_file(where, name)}: must be one .npy array")
    return array


def check_features(X: np.ndarray, where: str) -> None:
    """Raise ValueError unless X is (N, D) of floats, finite as float32. Reads it in chunks."""
    import numpy as np

    if X.ndim != 2 or not X.size or X.dtype.kind != "f" or X.dtype.itemsize > 8:
        raise ValueError(f"{where}: features must be float16, 32 or 64 (N, D), got {X.dtype} {X.shape}")
    step = max(1, CHUNK // X.shape[1])
    bad = []
    with np.errstate(over="ignore"):
        for start in range(0, len(X), step):
            finite = np.isfinite(np.asarray(X[start : start + step], np.float32)).all(axis=1)
            bad += (start + np.flatnonzero(~finite)).tolist()
    if bad:
        raise ValueError(
            f"{where}: features must be finite, rows {listed(bad, SHOWN)} are not "
            f"({len(bad)} of {len(X)}, counted from 0)"
        )


def _check_labels(y: np.ndarray, where: str, num_classes: int | None) -> None:
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(f"{where}: labels must be integers (N,), got {y.dtype} {y.shape}")
    limit = MAX_CLASSES if num_classes is None else num_classes
    wrong = ((y < 0) | (y >= limit)).nonzero()[0]
    if len(wrong):
        raise ValueError(
            f"{where}: labels must be in 0..{limit - 1}, row {wrong[0]} (from 0) holds {y[wrong[0]]}; "
            f"{len(wrong)} of {len(y)} are outside"
        )


def _class_names(where: Path, names: set[str]) -> list[str] | None:
    """The names that come with the features, or None."""
    import json

    if where.is_file():
        if "class_names" not in names:
            return None
        array = _load(where, "class_names")
        if array.ndim != 1 or array.dtype.kind != "U" or not array.size:
            raise ValueError(f"{where} [class_names]: must be text (C,), got {array.dtype} {array.shape}")
        return array.tolist()
    path = where / "class_names.json"
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: must be a JSON list of names ({error})") from None
    if not isinstance(content, list) or not content or not all(isinstance(name, str) for name in content):
        raise ValueError(f"{path}: must be a JSON list of names, one a class")
    return content
