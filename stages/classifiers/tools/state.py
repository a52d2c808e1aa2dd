"""A fitted classifier as named arrays and a JSON-able description, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import Classifier
from longtail.stages.network import Head
from longtail.stages.registry import split_spec


def to_state(name: str, estimator) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, description) of an estimator registered as `name`.

    A fitted classifier inside it, ``classifier_`` made from the parameter `classifier`, is described in turn;
    its arrays stand under ``classifier_/``.
    """
    arrays: dict[str, np.ndarray] = {}
    fitted: dict[str, Any] = {}
    for key, value in vars(estimator).items():
        if not key.endswith("_") or key.startswith("_"):
            continue
        if isinstance(value, Classifier):
            inner, described = to_state(split_spec(getattr(estimator, key[:-1]))[0], value)
            fitted[key] = {"estimator": described}
            arrays.update({f"{key}/{k}": array for k, array in inner.items()})
        elif isinstance(value, Head):
            arrays[f"{key}.weight"] = value.weight
            if value.bias is not None:
                arrays[f"{key}.bias"] = value.bias
            fitted[key] = {"head": {"scale": value.scale, "cosine": value.cosine}}
        elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            arrays[key] = value
        elif isinstance(value, np.ndarray):
            fitted[key] = {"strings": [str(v) for v in value]}
        else:
            fitted[key] = {"value": value.item() if isinstance(value, np.generic) else value}
    description = {
        "classifier": name,
        "params": estimator.get_params(),
        "fitted": fitted,
        "arrays": sorted(arrays),
    }
    return arrays, description


def from_state(arrays: dict[str, np.ndarray], description: dict[str, Any]):
    """The estimator :func:`to_state` described. ValueError when arrays are missing."""
    missing = [key for key in description["arrays"] if key not in arrays]
    if missing:
        raise ValueError(f"classifier: {', '.join(missing)} missing")
    estimator = CLASSIFIERS.create(description["classifier"], **description["params"])
    for key, entry in description["fitted"].items():
        if "estimator" in entry:
            start = f"{key}/"
            inner = {k.removeprefix(start): array for k, array in arrays.items() if k.startswith(start)}
            value = from_state(inner, entry["estimator"])
        elif "head" in entry:
            value = Head(arrays[f"{key}.weight"], arrays.get(f"{key}.bias"), **entry["head"])
        elif "strings" in entry:
            value = np.array(entry["strings"])
        else:
            value = entry["value"]
        setattr(estimator, key, value)
    for key, value in arrays.items():
        if "." not in key and "/" not in key:
            setattr(estimator, key, value)
    return estimator
