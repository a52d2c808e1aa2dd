"""Decoupled two-stage training for long-tailed recognition.

The names below are the public ones; each is imported when it is first used, so that ``import longtail`` loads
neither torch nor numpy::

    from longtail import CLASSIFIERS, evaluate
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; the table below is what runs
    from longtail.stages.backbones import BACKBONES
    from longtail.stages.classifiers import CLASSIFIERS
    from longtail.stages.data import DATASETS
    from longtail.stages.features import Features, extract_features
    from longtail.stages.losses import LOSSES
    from longtail.stages.metrics import evaluate
    from longtail.stages.network import Head
    from longtail.stages.representation import train_representation
    from longtail.stages.samplers import SAMPLERS

    __version__: str

__all__ = [
    "BACKBONES",
    "CLASSIFIERS",
    "DATASETS",
    "LOSSES",
    "SAMPLERS",
    "Features",
    "Head",
    "__version__",
    "evaluate",
    "extract_features",
    "train_representation",
]

_MODULES = {
    "BACKBONES": "longtail.stages.backbones",
    "CLASSIFIERS": "longtail.stages.classifiers",
    "DATASETS": "longtail.stages.data",
    "Features": "longtail.stages.features",
    "extract_features": "longtail.stages.features",
    "LOSSES": "longtail.stages.losses",
    "evaluate": "longtail.stages.metrics",
    "Head": "longtail.stages.network",
    "train_representation": "longtail.stages.representation",
    "SAMPLERS": "longtail.stages.samplers",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("longtail")
    elif name in _MODULES:
        value = getattr(import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module 'longtail' has no attribute {name!r}{_nearest(name)}")
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _nearest(name: str) -> str:
    """``; did you mean 'LOSSES'?`` for a near miss in either case, else nothing."""
    from difflib import get_close_matches

    names = {known.lower(): known for known in __all__}
    near = get_close_matches(name.lower(), names, n=1)
    return f"; did you mean {names[near[0]]!r}?" if near else ""
