"""A check of the data set that a configuration names, before anything is trained on it."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from longtail.pipeline.config.components import registry
from longtail.pipeline.config.loading import Config
from longtail.pipeline.config.setting_names import data_settings, settings_named
from longtail.pipeline.files.content_hash import content_hash
from longtail.pipeline.files.data_look import LookedAt
from longtail.pipeline.store.store import Store
from longtail.stages.data.set_check import Contents, check_set, check_sizes

if TYPE_CHECKING:
    import numpy as np

    from longtail.stages.data import Collection, PictureSet, Splits

log = logging.getLogger("longtail")

MOST_BYTES = 2**31  # that are read for a check nobody asked for
_CHECKED: WeakKeyDictionary[Store, set[str]] = WeakKeyDictionary()  # contents that a command has checked


def warn_of_set(config: Config, store: Store) -> None:
    """Warn of what is wrong with the data, once for each content; nothing is said of a set without faults.

    Of sets of arrays only longtail's own are looked at: others may take long to read, twice.
    """
    known, name = registry("datasets"), config.data.name
    if known.describe(name).module.partition(".")[0] != "longtail":
        return
    look = store.data_look(name, config.data.params)
    checked = _CHECKED.setdefault(store, set())
    if look.content not in checked:
        checked.add(look.content)
        for finding in set_findings(config, store, most=MOST_BYTES):
            log.warning("%s", finding)


def set_findings(config: Config, store: Store, *, most: int | None = None) -> list[str]:
    """What is wrong with the data set, a line each (see :func:`longtail.stages.data.set_check.check_set`).

    Contents are not compared where that takes reading more than `most` bytes.
    """
    data, known = config.data, registry("datasets")
    with settings_named(data_settings(data.name)):
        pictures = known.pictures(data.name, dict(data.params))
        if pictures is None:
            collection = known.read(data.name, dict(data.params))
            return check_set(_rows(collection, most), collection.class_names, held_out=_held_out(data.full()))
        looked_at = store.data_look(data.name, data.params).looked_at
    return picture_findings(pictures, data.full(), looked_at, most=most)


def size_findings(splits: Splits) -> list[str]:
    """What is said of splits by few samples, a line each."""
    import numpy as np

    counts = {
        part: np.bincount(samples.labels, minlength=splits.num_classes).tolist()
        for part, samples in (("val", splits.val), ("test", splits.test))
    }
    return check_sizes(counts, splits.class_names)


def picture_findings(
    pictures: PictureSet,
    settings: Mapping[str, Any],
    looked_at: Sequence[LookedAt] = (),
    *,
    most: int | None = None,
) -> list[str]:
    """What is wrong with a set of pictures in files, whose hashes are in `looked_at` or computed here.

    Without hashes only files of equal sizes are read: others cannot hold the same. They are not
    read where they have more than `most` bytes together.
    """
    known: dict[str, str] = {}
    for seen in looked_at:
        if seen.digests is not None:
            known |= zip(seen.files.names, seen.digests, strict=True)
    if not known:
        known = _hashes_of_equal_sizes(pictures, most)
    contents = {
        part: Contents(paths, labels, [known.get(path) for path in paths])
        for part, (paths, labels) in pictures.parts.items()
    }
    return check_set(contents, pictures.class_names, held_out=_held_out(settings))


def _hashes_of_equal_sizes(pictures: PictureSet, most: int | None) -> dict[str, str]:
    root = Path(pictures.root)
    sizes = {path: (root / path).stat().st_size for paths, _ in pictures.parts.values() for path in paths}
    counts = Counter(sizes.values())
    alike = {path: size for path, size in sizes.items() if counts[size] > 1}
    if most is not None and sum(alike.values()) > most:
        return {}
    return {path: content_hash(str(root / path)) for path in alike}


def _held_out(settings: Mapping[str, Any]) -> list[str]:
    """The parts of which samples are held out of train, where the data set has no such part."""
    names = {"val": "validation", "test": "test"}
    return [
        part
        for part, name in names.items()
        if settings.get(f"{name}_per_class")
        or (settings.get(f"{name}_per_class") is None and settings.get(f"{name}_fraction"))
    ]


def _rows(collection: Collection, most: int | None) -> dict[str, Contents]:
    """The samples of parts held in arrays, by number; no part when they have more than `most` bytes."""
    import numpy as np

    parts = {"train": collection.train, "val": collection.val, "test": collection.test}
    rows = {}
    for part, samples in parts.items():
        array = None if samples is None else getattr(samples, "images", getattr(samples, "X", None))
        if array is not None:
            rows[part] = np.asarray(array)
    if most is not None and sum(array.nbytes for array in rows.values()) > most:
        return {}
    return {
        part: Contents(
            [f"{part}[{row}]" for row in range(len(array))], parts[part].labels.tolist(), list(_hashed(array))
        )
        for part, array in rows.items()
    }


def _hashed(array: np.ndarray) -> Iterator[bytes]:
    import numpy as np

    for row in array:
        yield hashlib.blake2b(np.ascontiguousarray(row), digest_size=16).digest()
