"""Features that somebody else extracted, as arrays on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from longtail.stages.data import DATASETS, Collection
from longtail.stages.data.files.array_files import ArrayFiles
from longtail.stages.parameters import Location
from longtail.stages.wording import listed

if TYPE_CHECKING:
    import numpy as np

MAX_CLASSES = 1_000_000  # a larger label is somebody's identifier, not a class number
CHUNK = 2**22  # values checked at a time
SHOWN = 10  # bad rows an error lists


def sources(*, root: str) -> list[str | Path]:
    """The archive, or the folder's files, each after what it stands for (``"train.X"``)."""
    arrays = ArrayFiles(root)
    if arrays.is_archive:
        return [arrays.path]
    entries: list[str | Path] = []
    for part, names in arrays.parts().items():
        for array, name in zip("Xy", names, strict=True):
            entries += [f"{part}.{array}", arrays.path / f"{name}.npy"]
    class_names = arrays.path / "class_names.json"
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
    from longtail.stages.data.feature_part import FeatureArrays

    arrays = ArrayFiles(root)
    class_names = arrays.class_names()
    parts: dict[str, FeatureArrays] = {}
    for part, (x_name, y_name) in arrays.parts().items():
        X, y = arrays.load(x_name), arrays.load(y_name)
        file = arrays.file(x_name)
        check_features(X, file)
        check_labels(y, arrays.file(y_name), None if class_names is None else len(class_names))
        if len(X) != len(y):
            raise ValueError(f"{file}: {len(X)} rows, but {y_name} holds {len(y)} labels")
        parts[part] = FeatureArrays(X, y)
        width = parts["train"].X.shape[1]
        if X.shape[1] != width:
            raise ValueError(f"{file}: {X.shape[1]} features a row, but the training part has {width}")
    if class_names is None:
        class_names = [str(c) for c in range(1 + max(int(part.labels.max()) for part in parts.values()))]
    return Collection(parts["train"], parts.get("val"), parts.get("test"), class_names)


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


def check_labels(y: np.ndarray, where: str, num_classes: int | None) -> None:
    """Raise ValueError unless y is (N,) of integers in 0..num_classes − 1 (None: MAX_CLASSES)."""
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(f"{where}: labels must be integers (N,), got {y.dtype} {y.shape}")
    limit = MAX_CLASSES if num_classes is None else num_classes
    wrong = ((y < 0) | (y >= limit)).nonzero()[0]
    if len(wrong):
        raise ValueError(
            f"{where}: labels must be in 0..{limit - 1}, row {wrong[0]} (from 0) holds {y[wrong[0]]}; "
            f"{len(wrong)} of {len(y)} are outside"
        )
