"""What every classifier shares: checking inputs, masking absent classes, scores to predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from longtail.stages.blocks import row_blocks
from longtail.stages.classifiers.tools.linear_form import LinearForm
from longtail.stages.features import Features, reject_non_finite
from longtail.stages.network import Head
from longtail.stages.registry import check_parameters, signature_parameters
from longtail.stages.softmax import softmax

if TYPE_CHECKING:
    from torch import nn

FLOATS = [np.float64, np.float32, np.float16]


class Classifier(ClassifierMixin, BaseEstimator):
    """Base of all classifiers. A subclass writes ``_fit(X, rows, head, validation)`` and ``_scores(X)``.

    Fitted attributes: ``classes_`` (C,), ``class_counts_`` (C,) training samples, ``n_features_in_``.

    Class attributes tell the program about a classifier. They are literals, read from the source:

    - ``gives_logits``: False when scores are distances or votes, whose softmax means nothing;
    - ``presumes_prior``: True when it takes the head's logits to follow the training frequencies;
    - ``uses_views``: True when it learns from augmented views of the training samples where there are some,
      which ``_fit`` then gets as `views`;
    - ``always_chooses``: True when it chooses on validation samples whatever its parameters;
    - ``chooses_under_cosine``: False when a head of cosines leaves it nothing to choose.

    For a classifier around another (:class:`~longtail.stages.classifiers.tools.wrapper.Wrapper`) the one
    inside decides; ask the instance.
    """

    gives_logits = True
    presumes_prior = False
    uses_views = False
    always_chooses = False
    chooses_under_cosine = True

    def fit(self, X, y, *, head: Head | None = None, validation=None, views=None):
        """Fit on features `X` (N, D) with labels `y` (N,).

        With `head` (stage one's), ``classes_`` is ``arange(C)``, `y` are row numbers and a class may be
        absent: it is never predicted. Without, ``classes_ = unique(y)``, and a classifier that needs a head
        fits a plain linear one first. `validation` is `Features` or (X, y), for classifiers that choose.
        `views` is a list of matrices (N, D), the same samples augmented, for classifiers with `uses_views`:
        they train on those instead of `X`.

        Raises ValueError for bad parameters, non-finite features (rows named), labels out of range, or a head
        of another size.
        """
        check_parameters(signature_parameters(type(self)), self.get_params(deep=False), type(self).__name__)
        X, rows = self._checked_samples(X, y, head)
        given = {} if views is None else {"views": self._checked_views(views, X)}
        self._fit(X, rows, head, self._checked_validation(validation), **given)
        return self

    def _checked_samples(self, X, y, head: Head | None) -> tuple[np.ndarray, np.ndarray]:
        """(X (N, D), row numbers (N,)); sets ``classes_`` and ``class_counts_``."""
        if head is None:
            X, y = validate_data(self, X, y, dtype=FLOATS, ensure_all_finite=False)
            check_classification_targets(y)
            self.classes_, rows = np.unique(y, return_inverse=True)
        else:
            X, rows = validate_data(self, X, y, dtype=FLOATS, ensure_all_finite=False)
            if X.shape[1] != head.num_features:
                raise ValueError(
                    f"features have {X.shape[1]} columns, the head was made for {head.num_features}"
                )
            self.classes_ = np.arange(head.num_classes)
            rows = self._rows(rows)
        reject_non_finite(X)
        self.class_counts_ = np.bincount(rows, minlength=len(self.classes_))
        return X, rows

    def scores(self, X) -> np.ndarray:
        """Scores (N, C) of features `X` (N, D), the larger the likelier; −inf for a class never seen."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, ensure_all_finite=False, reset=False)
        reject_non_finite(X)
        blocks = [
            self._masked_scores(X[rows]) for rows in row_blocks(len(X), max(X.shape[1], len(self.classes_)))
        ]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def decision_function(self, X) -> np.ndarray:
        """:meth:`scores`; for two classes their difference (N,), as scikit-learn has it."""
        scores = self.scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    @available_if(lambda self: self.gives_logits)
    def predict_proba(self, X) -> np.ndarray:
        """Softmax of the scores, (N, C) float64."""
        return softmax(self.scores(X).astype(np.float64))

    def predict(self, X) -> np.ndarray:
        """The likeliest class of each row of `X`, (N,)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, ensure_all_finite=False, reset=False)
        reject_non_finite(X)
        predicted = np.empty(len(X), np.int64)
        for rows in row_blocks(len(X), max(X.shape[1], len(self.classes_))):
            predicted[rows] = self._masked_scores(X[rows]).argmax(1)
        return self.classes_[predicted]

    def linear_form(self) -> LinearForm:
        """:meth:`scores` as one matrix over (normalised) features.

        ValueError for a classifier whose scores are not linear in these.
        """
        check_is_fitted(self)
        return self._linear_form().without(self.class_counts_ == 0)

    def as_module(self) -> nn.Module:
        """:meth:`scores` as a torch module of float32 features (B, D); ValueError if they are not linear."""
        from longtail.stages.classifiers.tools.modules import LinearScores

        return LinearScores(self.linear_form())

    # -- for subclasses -------------------------------------------------------------------------------

    def _fit(self, X, rows, head: Head | None, validation: Features | None) -> None:
        raise NotImplementedError

    def _scores(self, X) -> np.ndarray:
        raise NotImplementedError

    def _linear_form(self) -> LinearForm:
        raise ValueError(f"{type(self).__name__}: its scores are not linear in the features")

    def _masked_scores(self, X) -> np.ndarray:
        scores = self._scores(X)
        absent = self.class_counts_ == 0
        if absent.any():
            scores = np.where(absent, -np.inf, scores)
        return scores

    def _rows(self, y) -> np.ndarray:
        """Labels as row numbers of ``classes_``; ValueError for a label that is not among them."""
        y = np.asarray(y)
        rows = np.searchsorted(self.classes_, y)
        known = self.classes_[np.minimum(rows, len(self.classes_) - 1)] == y
        if not known.all():
            wrong = np.flatnonzero(~known)[0]
            value = y[[wrong]].tolist()[0]  # a plain Python value: numpy's would show its type
            raise ValueError(
                f"labels: {value!r} (row {wrong}) is not one of the {len(self.classes_)} classes "
                f"{self.classes_[0]}…{self.classes_[-1]}"
            )
        return rows.astype(np.int64)

    def _checked_views(self, views, X) -> list[np.ndarray]:
        if not self.uses_views:
            raise ValueError(f"views: {type(self).__name__} does not train on views; leave them out")
        if not len(views) or any(np.shape(view) != X.shape for view in views):
            shapes = [np.shape(view) for view in views]
            raise ValueError(f"views: must each be {X.shape}, like X, at least one, got {shapes}")
        views = [np.asanyarray(view) for view in views]
        for view in views:
            reject_non_finite(view)
        return views

    def _checked_validation(self, validation) -> Features | None:
        if validation is None:
            return None
        X, y = (validation.X, validation.y) if isinstance(validation, Features) else validation
        X = validate_data(self, X, dtype=FLOATS, ensure_all_finite=False, reset=False)
        reject_non_finite(X)
        return Features(X, self._rows(y))


class LinearClassifier(Classifier):
    """A classifier whose scores are a :class:`Head`'s logits; fitting sets ``head_``."""

    head_: Head

    def _scores(self, X) -> np.ndarray:
        return self.head_.logits(X)

    def _linear_form(self) -> LinearForm:
        return LinearForm.of_head(self.head_)
