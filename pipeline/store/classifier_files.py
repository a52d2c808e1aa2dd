"""The arrays of a finished classifier: its fitted state and its predictions, verified when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longtail.pipeline.config.imports import require_imports
from longtail.pipeline.errors import Damaged, LongtailError
from longtail.pipeline.files.publish import sha256_of
from longtail.pipeline.store.records.done import DONE, digests_of
from longtail.pipeline.store.store import Store

if TYPE_CHECKING:
    import numpy as np

    from longtail.stages.classifiers.base import Classifier

WEIGHTS, PREDICTIONS = "weights.safetensors", "predictions.safetensors"


def load_classifier(store: Store, name: str) -> Classifier:
    """A finished classifier as the fitted estimator it was. LongtailError when there is none."""
    from longtail.stages.classifiers.tools.state import from_state

    arrays, description = _verified(store, name, WEIGHTS)
    result = store.result(name)
    require_imports({} if result is None else result.imports, "classifiers")
    return from_state(arrays, description)


def load_predictions(store: Store, name: str) -> dict[str, np.ndarray]:
    """The class a finished classifier gives each sample of the splits it is judged on, (N,) int32.

    Under ``val`` and ``test``; the true classes are under ``val.y`` and ``test.y``, the softmax confidences,
    (N,) float32, under ``val.confidence`` and ``test.confidence`` where scores are logits (older files have
    no confidences).
    """
    return _verified(store, name, PREDICTIONS)[0]


def _verified(store: Store, name: str, file: str):
    from longtail.pipeline.files.tensor_files import load_tensors

    done = store.done("classifiers", name)
    if done is None:
        raise LongtailError(f"no finished classifier {name!r} under {store.root}")
    path = store.folder("classifiers", name) / file
    if file not in done["files"]:
        raise Damaged(f"{store.folder('classifiers', name) / DONE}: does not list {file}")
    arrays, facts, _ = load_tensors(path)
    if sha256_of(path) not in digests_of(done, file):
        raise Damaged(f"{path}: is not the file this classifier finished with")
    return arrays, facts
