"""Pictures or features through a finished classifier, as many as there are, in bounded memory."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.pipeline.config.sections import System
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.process.environment import limit_threads, resolve_device
from longtail.pipeline.serve.finished_model import FinishedModel, load_finished_model, takes_pictures
from longtail.pipeline.store.choose_classifier import choose_classifier
from longtail.pipeline.store.result import Result
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.prediction_lines import Prediction, prediction_lines
from longtail.stages.data.files.user_path import user_path
from longtail.stages.wording import file_kind

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("longtail")


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
    """Print the `top` classes of every picture, or row of features, that `inputs` name, a line at a time.

    Raises LongtailError for inputs of the wrong kind, and at the end when pictures could not be read: each of
    those is named in a warning, and the others are predicted.
    """
    result, system = choose_classifier(store, reference, overrides, classifier)
    array = _array(inputs)
    names = _names(store, result, reference, inputs, array)
    limit_threads(system)
    model, unreadable = load_finished_model(store, result), []
    if array is not None:
        _check_width(array, model)
    unit = "probability" if model.estimator.gives_logits else "score"
    if unit == "score":
        log.info("%s gives distances or votes, not probabilities: its scores are printed", result.description)
    with _progress(len(names), "picture" if array is None else "row") as done:
        if array is None:
            predictions = _of_pictures(model, names, top, unreadable, done, system)
        else:
            predictions = _of_features(model, array, top, done)
        title = f"{result.description} · {unit} of the likeliest classes"
        for line in prediction_lines(
            predictions, form, title=title, unit=unit, names=names, classes=model.class_names
        ):
            say(line)
    if unreadable:
        raise LongtailError(
            f"{len(unreadable)} of {len(names)} pictures could not be read; they are named above"
        )


def _names(
    store: Store, result: Result, reference: str, inputs: Sequence[str], array: Path | None
) -> Sequence[Path] | range:
    """What is predicted: paths of pictures, or numbers of rows. LongtailError for another kind of input."""
    if takes_pictures(store, result):
        if array is not None:
            raise LongtailError(
                f"{array}: holds features, but {reference} was trained on pictures "
                f"({result.settings.data}); name pictures or a folder of them"
            )
        return picture_paths(inputs)
    if array is None:
        raise LongtailError(
            f"{inputs[0]}: is not an .npy file, and {reference} was fitted on feature arrays: features "
            "(N, D) like those can be predicted, pictures cannot"
        )
    return range(_rows(array))


def _check_width(array: Path, model: FinishedModel) -> None:
    import numpy as np

    width, known = np.load(array, mmap_mode="r", allow_pickle=False).shape[1], model.estimator.n_features_in_
    if width != known:
        raise LongtailError(f"{array}: {width} features a row, the classifier was fitted on {known}")


def picture_paths(inputs: Sequence[str]) -> list[Path]:
    """Every picture that is named, and those below every folder that is, sorted; LongtailError for none."""
    from longtail.stages.data.files.passed_over import PassedOver
    from longtail.stages.data.files.picture_files import picture_suffixes, walk

    paths: list[Path] = []
    for name in inputs:
        path = user_path(name)
        if path.is_dir():
            passed = PassedOver()
            inside = sorted(picture for picture, _ in walk(path, None, passed=passed))
            if not inside:
                rest = f"; {passed}" if passed else ""
                raise LongtailError(f"{path}: holds no picture ({' '.join(picture_suffixes())}){rest}")
            if passed:
                log.warning("%s: %s", path, passed)
            paths += inside
        elif path.is_file():
            paths.append(path)
        elif path.exists():
            kind = file_kind(path.stat().st_mode)
            raise LongtailError(f"{path}: must be a picture or a folder, is {kind}")
        else:
            raise LongtailError(f"{path}: no such picture or folder")
    return paths


def _array(inputs: Sequence[str]) -> Path | None:
    """The one .npy file among the inputs; None when they are pictures."""
    arrays = [name for name in inputs if name.endswith(".npy")]
    if arrays and len(inputs) > 1:
        raise LongtailError(f"{arrays[0]}: features come one file at a time, got {len(inputs)} inputs")
    return user_path(arrays[0]) if arrays else None


def _rows(path: Path) -> int:
    """Rows of features in a file; ValueError unless they are finite numbers."""
    import numpy as np

    from longtail.stages.data.feature_arrays import check_features
    from longtail.stages.data.files.regular_file import require_regular

    require_regular(path)
    try:
        X = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise LongtailError(f"{path}: cannot be read as an array ({error})") from None
    if not isinstance(X, np.ndarray):
        X.close()
        raise LongtailError(f"{path}: an archive of arrays, not one; save it by numpy.save")
    check_features(X, str(path))
    return len(X)


def _of_pictures(
    model: FinishedModel, paths, top: int, unreadable: list[Path], done, system: System
) -> Iterator[Prediction]:
    """Predictions of pictures in order; one that cannot be read is warned of and added to `unreadable`."""
    import numpy as np

    from longtail.stages.data.files.each_file import try_each
    from longtail.stages.features import batch_rows

    shape, read = model.preprocessing, model.preprocessing.reader()
    device = resolve_device(system.device)
    workers = None if system.workers == "auto" else system.workers
    model.backbone.to(device)
    size = (shape.height, shape.width, len(shape.mean))
    step = batch_rows(int(np.prod(size)))
    for start in range(0, len(paths), step):
        batch = paths[start : start + step]
        pixels = np.empty((len(batch), *size), np.uint8)

        def attempt(row: int, batch=batch, pixels=pixels) -> None:
            pixels[row] = read(batch[row])

        failed = try_each(batch, attempt, workers)
        for row, reason in sorted(failed.items()):
            log.warning("cannot be read: %s", reason)
            unreadable.append(batch[row])
        good = [row for row in range(len(batch)) if row not in failed]
        if good:
            scores = model.scores(pixels[good], device)
            yield from _likeliest(model, scores, [str(batch[row]) for row in good], top)
        done(len(batch))


def _of_features(model: FinishedModel, path: Path, top: int, done) -> Iterator[Prediction]:
    import numpy as np

    from longtail.stages.blocks import row_blocks

    X = np.load(path, mmap_mode="r", allow_pickle=False)
    for block in row_blocks(len(X), max(X.shape[1], len(model.class_names))):
        features = np.asarray(X[block], np.float32).astype(model.dtype, copy=False)
        yield from _likeliest(model, model.estimator.scores(features), range(len(X))[block], top)
        done(len(features))


def _likeliest(model: FinishedModel, scores: np.ndarray, names: Sequence, top: int) -> Iterator[Prediction]:
    """The `top` classes of each row of `scores` (B, C); a class never seen in training is left out."""
    import numpy as np

    from longtail.stages.softmax import softmax

    values = scores.astype(np.float64)
    if model.estimator.gives_logits:
        values = softmax(values)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    for row, name in enumerate(names):
        kept = [c for c in order[row] if scores[row, c] > -np.inf]
        yield Prediction(name, [model.class_names[c] for c in kept], values[row, kept].tolist())


def _progress(total: int, unit: str):
    if sys.stdout is not None and sys.stdout.isatty():  # the results move already
        return nullcontext(lambda count: None)
    from longtail.pipeline.process.progress import CountProgress

    return CountProgress(total, unit, "predicting")
