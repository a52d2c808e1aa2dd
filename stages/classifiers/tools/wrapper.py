"""Classifiers around another, which they name in a parameter."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import Classifier
from longtail.stages.classifiers.tools.linear_form import LinearForm
from longtail.stages.registry import split_spec

if TYPE_CHECKING:
    from torch import nn


def from_spec(spec: str | dict, random_state) -> Classifier:
    """The unfitted classifier of a name or ``{name, ...parameters}``, given `random_state` if it takes one.

    Raises ValueError for an unknown name and ill-valued parameters.
    """
    name, params = split_spec(spec)
    if "random_state" in inspect.signature(CLASSIFIERS.get(name)).parameters:
        params.setdefault("random_state", random_state)
    return CLASSIFIERS.create(name, **params)


class Wrapper(Classifier):
    """Base of classifiers with a parameter `classifier`, the one they wrap, and a `random_state` for it.

    A subclass's ``_fit`` fits what :meth:`_inner` gives on row numbers and keeps it as ``classifier_``, which
    scores. Whether scores are logits and views are used depends on the wrapped one.
    """

    classifier: str | dict

    @property
    def gives_logits(self) -> bool:
        return from_spec(self.classifier, self.random_state).gives_logits

    @property
    def uses_views(self) -> bool:
        return from_spec(self.classifier, self.random_state).uses_views

    def _inner(self) -> Classifier:
        """The wrapped classifier, unfitted. ValueError when this wrapper stands inside itself."""
        wrapped = inner = from_spec(self.classifier, self.random_state)
        while isinstance(inner, Wrapper):
            if type(inner) is type(self):
                name = type(self).__name__
                raise ValueError(
                    f"classifier: {name} inside {name} does nothing more, got {self.classifier!r}; "
                    "name what the inner one wraps"
                )
            inner = from_spec(inner.classifier, None)
        return wrapped

    def _scores(self, X) -> np.ndarray:
        return self.classifier_.scores(X)

    def _linear_form(self) -> LinearForm:
        return self.classifier_.linear_form()

    def as_module(self) -> nn.Module:
        check_is_fitted(self)
        return self.classifier_.as_module()
