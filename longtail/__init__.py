"""Decoupled two-stage training for long-tailed recognition.

The names below are the public ones; each is imported when it is first used, so that ``import longtail`` loads
neither torch nor numpy::

    from longtail import CLASSIFIERS, evaluate
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PUBLIC = {
    "BACKBONES": "stages.backbones",
    "CLASSIFIERS": "stages.classifiers",
    "DATASETS": "stages.data",
    "LOSSES": "stages.losses",
    "SAMPLERS": "stages.samplers",
    "Features": "stages.features",
    "Head": "stages.network",
    "evaluate": "stages.metrics",
    "extract_features": "stages.features",
    "train_representation": "stages.representation",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("longtail")
    elif name in _PUBLIC:
        value = getattr(import_module(f"longtail.{_PUBLIC[name]}"), name)
    else:
        raise AttributeError(f"module 'longtail' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
