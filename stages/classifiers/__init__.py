"""Stage two: classifiers on frozen features, each a scikit-learn estimator.

``CLASSIFIERS.create("crt").fit(X, y)`` works on any feature matrix; ``fit(X, y, head=..., validation=...)``
starts from stage one's head and chooses on validation features. ``scores(X)`` is (N, C) always.
"""

from longtail.stages.registry import Registry

CLASSIFIERS = Registry("classifier", "CLASSIFIERS", "longtail.stages.classifiers", supplied=("random_state",))

__all__ = ["CLASSIFIERS", "Head"]


def __getattr__(name: str):
    if name == "Head":  # lives beside the modules it freezes, which import torch
        from longtail.stages.network import Head

        return Head
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
