"""References to results on the command line: directories and the beginnings of ids."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.pipeline.errors import ConfigError, LongtailError

if TYPE_CHECKING:
    from longtail.pipeline.store.store import Store

ID_FIELDS = {  # of a Result, by kind
    "representations": "representation",
    "features": "features",
    "classifiers": "run",
}


def find_run(store: Store, reference: str) -> str | None:
    """The id of the representation a directory or id prefix names; None when `reference` is neither.

    LongtailError when a prefix fits several.
    """
    path = directory(store, reference)
    if path is not None:
        return path.name if path.parent.name == "representations" else None
    return store.resolve("representations", reference)


def find_result(store: Store, reference: str) -> tuple[str, str] | None:
    """(kind, id) of the representation, features or classifier that a directory or id prefix names.

    None when `reference` is neither; LongtailError when a prefix fits several.
    """
    path = directory(store, reference)
    kinds = ID_FIELDS if path is None else (path.parent.name,)
    name = reference if path is None else path.name
    matches = [(kind, run_id) for kind in kinds if (run_id := store.resolve(kind, name)) is not None]
    if len(matches) > 1:
        raise LongtailError(
            f"{reference!r} begins ids of {' and of '.join(kind for kind, _ in matches)}; give more of it"
        )
    return matches[0] if matches else None


def directory(store: Store, reference: str) -> Path | None:
    """`reference` as a result's directory, None when it is not one; LongtailError for one of another root."""
    if not os.path.isdir(reference):
        return None
    path = Path(os.path.realpath(reference))
    if path.parent.name not in ID_FIELDS:
        return None
    root = path.parents[1]
    if root != store.root.resolve():
        raise LongtailError(f"{reference}: lies under another root than {store.root}; use --root {root}")
    return path


def is_unknown(error: ConfigError) -> bool:
    """Whether `error` says that there is no such configuration, rather than that it is wrong."""
    return len(error.problems) == 1 and "no such configuration" in str(error)
