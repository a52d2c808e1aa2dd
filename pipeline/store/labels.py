"""What people call the classifier of a result."""

from __future__ import annotations

from typing import Any


def label(result: dict[str, Any]) -> str:
    """What tables call the classifier of a result."""
    return shown_name(result["classifier"], result["settings"].get("epochs", 0))


def shown_name(classifier: str, epochs: int) -> str:
    """A classifier's name; a joint head fitted on features for want of a trained one says so."""
    return "joint (linear)" if classifier == "joint" and not epochs else classifier
