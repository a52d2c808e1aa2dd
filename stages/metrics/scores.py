"""Metrics of a classifier's scores: accuracies, precision, calibration."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from longtail.stages.blocks import row_blocks
from longtail.stages.metrics.shots import shot_accuracies
from longtail.stages.softmax import largest_probability

ECE_BINS = 15  # Guo 2017 (arXiv 1706.04599)


def evaluate(scores, labels, class_counts, *, many: int = 100, few: int = 20, logits: bool = True) -> dict:
    """Every metric of one classifier on one split.

    `scores` (N, C) with the larger the likelier, −inf for classes never predicted; `labels` (N,) row numbers;
    `class_counts` (C,) training samples, which define the shot groups. `logits=False` says that the scores
    are no logits (distances, votes): there is no softmax confidence then and ``ece`` is None.

    Returns fractions in [0, 1]: ``accuracy``, ``top5_accuracy`` (None when C < 5), ``balanced_accuracy``
    (mean recall over classes with test samples), ``macro_precision`` (a class never predicted counts 0),
    ``many``, ``medium``, ``few``, ``class_accuracy`` (list of C, None without test samples),
    ``class_accuracy_std`` (population), ``worst_class_accuracy``, ``ece`` (15 equal-width bins). None where
    undefined. Raises ValueError on mismatched shapes, labels out of range, no sample at all, or a row of
    scores that holds NaN or +inf or nothing but −inf.

    >>> evaluate([[2, 1], [0, 1], [3, 0]], [0, 1, 1], [200, 5])["class_accuracy"]
    [1.0, 0.5]
    """
    scores, labels, class_counts = _checked(scores, labels, class_counts)
    num_classes = scores.shape[1]
    predicted = scores.argmax(1)
    hit = predicted == labels
    tested = np.bincount(labels, minlength=num_classes)
    correct = np.bincount(labels[hit], minlength=num_classes)
    claimed = np.bincount(predicted, minlength=num_classes)
    seen = tested > 0
    recall = correct[seen] / tested[seen]
    precision = correct[seen] / np.maximum(claimed[seen], 1)
    class_accuracy: list[float | None] = [None] * num_classes
    for c, value in zip(np.flatnonzero(seen), recall, strict=True):
        class_accuracy[c] = float(value)
    return {
        "accuracy": float(hit.mean()),
        "top5_accuracy": _top5(scores, labels) if num_classes >= 5 else None,
        "balanced_accuracy": float(recall.mean()),
        "macro_precision": float(precision.mean()),
        **shot_accuracies(class_accuracy, class_counts.tolist(), many=many, few=few),
        "class_accuracy": class_accuracy,
        "class_accuracy_std": float(recall.std()),
        "worst_class_accuracy": float(recall.min()),
        "ece": expected_calibration_error(scores, labels) if logits else None,
    }


def expected_calibration_error(scores, labels, *, bins: int = ECE_BINS) -> float:
    """Mean gap between softmax confidence and accuracy over equal-width bins, weighted by their samples.

    `scores` are logits (N, C). Source: Guo 2017 (arXiv 1706.04599), equation 5.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    table = reliability(confidences(scores), scores.argmax(1) == labels, bins=bins)
    return float(np.abs(table.hits - table.confidence).sum() / len(labels))


def confidences(scores) -> np.ndarray:
    """Softmax of the largest of each row's logits, (N,) float64 in [1/C, 1]; `scores` (N, C)."""
    scores = np.asarray(scores)
    confidence = np.empty(len(scores))
    for block in row_blocks(*scores.shape):
        confidence[block] = largest_probability(scores[block].astype(np.float64))
    return confidence


class Reliability(NamedTuple):
    """Sums over equal-width bins of confidence, each (bins,): samples, confidences, correct predictions."""

    samples: np.ndarray
    confidence: np.ndarray
    hits: np.ndarray


def reliability(confidence, hit, *, bins: int = ECE_BINS) -> Reliability:
    """Samples by confidence (N,) in bins (i/b, (i+1)/b], and how many of them are a `hit` (N,) bool.

    Source: Guo 2017 (arXiv 1706.04599), section 2.
    """
    confidence, hit = np.asarray(confidence, np.float64), np.asarray(hit)
    row = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return Reliability(*(np.bincount(row, weight, minlength=bins) for weight in (None, confidence, hit)))


def _top5(scores: np.ndarray, labels: np.ndarray) -> float:
    own = scores[np.arange(len(labels)), labels][:, None]
    lower = np.arange(scores.shape[1]) < labels[:, None]  # the lower index goes first on ties, as in argmax
    rank = ((scores > own) | ((scores == own) & lower)).sum(1)
    return float(((rank < 5) & (own[:, 0] > -np.inf)).mean())


def _checked(scores, labels, class_counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, labels, class_counts = np.asarray(scores), np.asarray(labels), np.asarray(class_counts)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or class_counts.shape != scores.shape[1:]:
        raise ValueError(
            "scores must be (N, C), labels (N,) and class_counts (C,), "
            f"got {scores.shape}, {labels.shape} and {class_counts.shape}"
        )
    if not len(labels):
        raise ValueError("scores: there is no sample to evaluate")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(f"labels: must be integers in [0, {scores.shape[1]})")
    bad = np.flatnonzero(~np.isfinite(scores.max(1)))
    if len(bad):
        raise ValueError(f"scores: row {bad[0]} holds NaN or +inf, or nothing but −inf")
    return scores, labels, class_counts
