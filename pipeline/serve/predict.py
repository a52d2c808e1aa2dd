"""Pictures or features through a finished classifier, as many as there are, in bounded memory."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from longtail.pipeline.config.sections import System
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.process.environment import limit_threads, resolve_device
from longtail.pipeline.serve.finished_model import Deployed, deploy, takes_pictures
from longtail.pipeline.store.choose import describe, pick
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.prediction_lines import render

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("longtail")


class Prediction(NamedTuple):
    """The likeliest classes of a picture (its path) or of a row of features (its number), best first.

    `values` are probabilities, or scores where the classifier has no probabilities.
    """

    of: str | int
    classes: list[str]
    values: list[float]


def predict(
    store: Store,
    reference: str,
    inputs: Sequence[str],
    overrides: Sequence[str] = (),
    *,
    classifier: str | None = None,
    top: int = 5,
    form: str = "table",
    say: Callable[[str], object] = print,
) -> None:
    """Say the `top` classes of every picture, or row of features, that `inputs` name, a line at a time.

    Raises LongtailError for inputs of the wrong kind, and at the end when pictures could not be read: each of
    those is named in a warning, and the others are predicted.
    """
    result, system = pick(store, reference, overrides, classifier)
    array = _array(inputs)
    if takes_pictures(store, result):
        if array is not None:
            raise LongtailError(
                f"{array}: holds features, but {reference} was trained on pictures "
                f"({result['settings']['data']}); name pictures or a folder of them"
            )
        names: Sequence = picture_paths(inputs)
    else:
        if array is None:
            raise LongtailError(
                f"{inputs[0]}: is no .npy file, and {reference} was fitted on feature arrays: features "
                "(N, D) like those can be predicted, pictures cannot"
            )
        rows, width = _shape(array)
        names = range(rows)
    limit_threads(system)
    deployed, broken = deploy(store, result), []
    if array is not None:
        known = deployed.estimator.n_features_in_
        if width != known:
            raise LongtailError(f"{array}: {width} features a row, the classifier was fitted on {known}")
    unit = "probability" if deployed.estimator.gives_logits else "score"
    if unit == "score":
        log.info("%s gives distances or votes, not probabilities: its scores are printed", describe(result))
    with _progress(len(names), "picture" if array is None else "row") as done:
        if array is None:
            found = _of_pictures(deployed, names, top, broken, done, system)
        else:
            found = _of_features(deployed, array, top, done)
        title = f"{describe(result)} · {unit} of the likeliest classes"
        for line in render(found, form, title=title, unit=unit, names=names, classes=deployed.class_names):
            say(line)
    if broken:
        raise LongtailError(f"{len(broken)} of {len(names)} pictures could not be read; they are named above")


def picture_paths(inputs: Sequence[str]) -> list[Path]:
    """Every picture that is named, and those below every folder that is, sorted; LongtailError for none."""
    from longtail.stages.data.files.picture_folders import SUFFIXES, walk

    found: list[Path] = []
    for name in inputs:
        path = Path(name).expanduser()
        if path.is_dir():
            inside = sorted(picture for picture, _ in walk(path, None))
            if not inside:
                raise LongtailError(f"{path}: holds no picture ({' '.join(SUFFIXES)})")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise LongtailError(f"{path}: no such picture or folder")
    return found


def _array(inputs: Sequence[str]) -> Path | None:
    """The one .npy file among the inputs; None when they are pictures."""
    arrays = [name for name in inputs if name.endswith(".npy")]
    if arrays and len(inputs) > 1:
        raise LongtailError(f"{arrays[0]}: features come one file at a time, got {len(inputs)} inputs")
    return Path(arrays[0]).expanduser() if arrays else None


def _shape(path: Path) -> tuple[int, int]:
    """(N, D) of the features in a file; ValueError unless they are finite numbers."""
    import numpy as np

    from longtail.stages.data.feature_arrays import check_features

    try:
        X = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise LongtailError(f"{path}: cannot be read as an array ({error})") from None
    if not isinstance(X, np.ndarray):
        X.close()
        raise LongtailError(f"{path}: an archive of arrays, not one; save it by numpy.save")
    check_features(X, str(path))
    return X.shape


def _of_pictures(
    deployed: Deployed, paths, top: int, broken: list[Path], done, system: System
) -> Iterator[Prediction]:
    """Predictions of pictures in order; one that cannot be read is warned of and added to `broken`."""
    import numpy as np

    from longtail.stages.data.pictures.unreadable import try_each
    from longtail.stages.features import batch_rows

    shape, read = deployed.preprocessing, deployed.preprocessing.reader()
    device = resolve_device(system.device)
    workers = None if system.workers == "auto" else system.workers
    deployed.backbone.to(device)
    size = (shape.height, shape.width, len(shape.mean))
    step = batch_rows(int(np.prod(size)))
    for start in range(0, len(paths), step):
        batch = paths[start : start + step]
        pixels = np.empty((len(batch), *size), np.uint8)

        def attempt(row: int, batch=batch, pixels=pixels) -> None:
            pixels[row] = read(batch[row])

        failed = try_each(batch, attempt, workers)
        for row, said in sorted(failed.items()):
            log.warning("cannot be read: %s", said)
            broken.append(batch[row])
        good = [row for row in range(len(batch)) if row not in failed]
        if good:
            scores = deployed.scores(pixels[good], device)
            yield from _likeliest(deployed, scores, [str(batch[row]) for row in good], top)
        done(len(batch))


def _of_features(deployed: Deployed, path: Path, top: int, done) -> Iterator[Prediction]:
    import numpy as np

    from longtail.stages.blocks import row_blocks

    X = np.load(path, mmap_mode="r", allow_pickle=False)
    for block in row_blocks(len(X), max(X.shape[1], len(deployed.class_names))):
        features = np.asarray(X[block], np.float32).astype(deployed.dtype, copy=False)
        yield from _likeliest(deployed, deployed.estimator.scores(features), range(len(X))[block], top)
        done(len(features))


def _likeliest(deployed: Deployed, scores: np.ndarray, names: Sequence, top: int) -> Iterator[Prediction]:
    """The `top` classes of each row of `scores` (B, C); a class never seen in training is none of them."""
    import numpy as np

    from longtail.stages.softmax import softmax

    values = scores.astype(np.float64)
    if deployed.estimator.gives_logits:
        values = softmax(values)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    for row, name in enumerate(names):
        kept = [c for c in order[row] if scores[row, c] > -np.inf]
        yield Prediction(name, [deployed.class_names[c] for c in kept], values[row, kept].tolist())


def _progress(total: int, unit: str):
    if sys.stdout is not None and sys.stdout.isatty():  # the results move already
        return nullcontext(lambda count: None)
    from longtail.pipeline.process.progress import CountProgress

    return CountProgress(total, unit, "predicting")
