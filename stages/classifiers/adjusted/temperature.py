"""Temperature scaling."""

from __future__ import annotations

import numpy as np

from longtail.stages.blocks import row_blocks
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.tools.wrapper import Wrapper
from longtail.stages.parameters import ClassifierSpec
from longtail.stages.selection import NEEDS_VALIDATION, round_robin_folds
from longtail.stages.softmax import cross_entropy, less_largest

WIDEST = 1e3  # T/spread of the logits is in [1/WIDEST, WIDEST]: there probabilities are 0 and 1, or all 1/C


@CLASSIFIERS.register("temperature")
class Temperature(Wrapper):
    """Another classifier's logits over a temperature, z/T: its predictions, with calibrated confidence.

    T minimises the validation samples' mean −log softmax(z/T)_y, convex in 1/T. Without a head and without
    validation it comes from 3-fold cross-validation: all held-out samples together, each under the logits of
    its own fold; `classifier` is then fitted on all samples. T stays within a factor 1000 of the logits'
    spread, which matters when all samples are right (T → 0) or no better than chance (T → ∞). Samples of a
    class without training samples, whose logit is −∞, take no part. What `classifier` chooses on validation
    is chosen on the same samples. Scores are float64, so that no two logits become equal.

    Fitted: ``classifier_``, ``temperature_``; ``ece_before_``, ``ece_after_`` on the samples T was chosen on.

    Raises ValueError for a classifier that gives no logits (ncm, knn), for a temperature of a temperature,
    and when T is to be chosen for a given head without validation data.

    Source: Guo 2017 (arXiv 1706.04599), section 4.2.
    """

    always_chooses = True

    def __init__(self, *, classifier: ClassifierSpec = "joint", random_state=None):
        self.classifier = classifier
        self.random_state = random_state

    def _fit(self, X, rows, head, validation, views=None):
        from longtail.stages.metrics.scores import expected_calibration_error

        self.classifier_ = self._inner()
        if not self.classifier_.gives_logits:
            raise ValueError(
                f"classifier: must give logits, got {self.classifier!r}, whose scores are distances or votes"
            )
        if head is not None and validation is None:
            raise ValueError(NEEDS_VALIDATION)
        drawn = {} if views is None else {"views": views}
        self.classifier_.fit(X, rows, head=head, validation=validation, **drawn)
        if validation is None:
            logits, y = self._held_out_logits(X, rows, views)
        else:
            logits, y = self.classifier_.scores(validation.X), validation.y
        logits, y = _of_present_classes(logits, y, self.class_counts_)
        self.temperature_ = best_temperature(logits, y)
        self.ece_before_ = expected_calibration_error(logits, y)
        self.ece_after_ = expected_calibration_error(logits.astype(np.float64) / self.temperature_, y)

    def _held_out_logits(self, X, rows, views) -> tuple[np.ndarray, np.ndarray]:
        """(logits (M, C), labels (M,)) of the held-out samples of all folds."""
        logits, y = [], []
        for train, held in round_robin_folds(rows):
            drawn = {} if views is None else {"views": [view[train] for view in views]}
            logits.append(self._inner().fit(X[train], rows[train], **drawn).scores(X[held]))
            y.append(rows[held])
        if not y:
            raise ValueError(
                "temperature: cross-validation found no class with two samples (n_samples=1?); "
                "pass validation=(X, y)"
            )
        return np.concatenate(logits), np.concatenate(y)

    def _scores(self, X) -> np.ndarray:
        return super()._scores(X).astype(np.float64) / self.temperature_

    def _linear_form(self):
        return super()._linear_form().scaled(1 / self.temperature_)

    def as_module(self):
        from longtail.stages.classifiers.tools.modules import Divided

        return Divided(super().as_module(), self.temperature_)


def best_temperature(logits: np.ndarray, rows: np.ndarray) -> float:
    """The T > 0 of least mean −log softmax(logits/T)_y; 1 for logits that are all the same.

    `logits` (N, C) finite, `rows` (N,). Scaling the logits scales T: T is searched on a logarithmic scale
    around their spread, the root mean square of what remains when each row's mean is taken out.
    """
    from scipy.optimize import minimize_scalar

    blocks = list(row_blocks(*logits.shape))
    spread = np.sqrt(sum(logits[b].astype(np.float64).var(1).sum() for b in blocks) / len(logits))
    if spread == 0:
        return 1.0
    result = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, rows, spread * np.exp(log_t)),
        bounds=(-np.log(WIDEST), np.log(WIDEST)),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return float(spread * np.exp(result.x))


def negative_log_likelihood(logits: np.ndarray, rows: np.ndarray, temperature: float) -> float:
    """Mean −log softmax(logits/temperature)_y of logits (N, C) and labels (N,), in float64."""
    total = 0.0
    for block in row_blocks(*logits.shape):
        z = less_largest(logits[block].astype(np.float64)) / temperature
        total += cross_entropy(z, rows[block]).sum()
    return float(total / len(rows))


def _of_present_classes(logits, rows, class_counts) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of the samples and columns of classes with training samples."""
    present = class_counts > 0
    if present.all():
        return logits, rows
    known = present[rows]
    if not known.any():
        raise ValueError("validation: holds no sample of a class with training samples")
    column = np.cumsum(present) - 1
    return logits[known][:, present], column[rows[known]]
