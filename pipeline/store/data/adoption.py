"""Runs of earlier versions, which knew pictures by their names and sizes alone, found under their old ids.

Such an id does not say what was in the pictures. A run is adopted for the content that the pictures have now
if none was written since it began and all are read as they were then; from then on that content is recorded
beside it. Otherwise the run stays what it was, and the same settings make a new one.
"""

from __future__ import annotations

import calendar
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from longtail.pipeline.config.components import registry
from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.checked_json import read_json, verified, with_checksum
from longtail.pipeline.files.publish import publish_json
from longtail.pipeline.store.records.run_records import provenance, run_settings

if TYPE_CHECKING:
    from longtail.pipeline.files.data_look import DataLook
    from longtail.pipeline.store.store import Store

log = logging.getLogger("longtail")

CONTENT = "content.json"  # beside an adopted run: what its pictures held


def is_adopted(store: Store, run_id: str, look: DataLook) -> bool:
    """Whether the representation `run_id`, named by names and sizes, was trained on what `look` has seen."""
    folder = store.folder("representations", run_id)
    try:
        return verified(read_json(folder / CONTENT), folder / CONTENT).get("content") == look.content
    except (FileNotFoundError, Damaged):
        pass
    began = _began(store, run_id)
    if began is None:
        return False
    if look.newest() >= began:
        log.warning(
            "representation %s was trained on pictures of these names and sizes, but some were written after "
            "it began: it is not used for them",
            run_id,
        )
        return False
    if _any_read_differently(look):
        log.warning(
            "representation %s was trained without the transparency or the colour profiles of its pictures, "
            "which count now: it is not used for them",
            run_id,
        )
        return False
    if not store.read_only:
        with suppress(OSError):  # under a read-only root it is looked at again the next time
            publish_json(folder / CONTENT, with_checksum({"content": look.content}))
    return True


def identified_by(store: Store, run_id: str) -> str:
    """What identifies the data of a finished run, in words."""
    folder = store.folder("representations", run_id)
    if (folder / CONTENT).exists():
        return "names and sizes, and the content that an earlier version left out"
    try:
        settings = run_settings(store, run_id)["data"]
        known = registry("datasets").describe(settings["name"]).parameters
    except (FileNotFoundError, Damaged, ValueError, KeyError, TypeError):
        return "not known, config.yaml is damaged"
    by_content = "identity" not in known or settings.get("identity") == "content"
    return "content" if by_content else "names and sizes"


def _began(store: Store, run_id: str) -> int | None:
    """When a run began, in ns since 1970, as its ``provenance.json`` says; None if that does not."""
    try:
        moment = time.strptime(provenance(store, run_id)["began"], "%Y-%m-%dT%H:%M:%SZ")
    except (Damaged, KeyError, ValueError):
        return None
    return calendar.timegm(moment) * 10**9


def _any_read_differently(look: DataLook) -> bool:
    """Whether earlier versions read one of the pictures differently; several are opened at a time."""
    from concurrent.futures import ThreadPoolExecutor

    from longtail.stages.data.files.each_file import usable_cores
    from longtail.stages.data.pictures.reading.earlier_reading import was_read_differently

    def any_of(paths: Iterable[str]) -> bool:
        return any(was_read_differently(path) for path in paths)

    paths = [path for seen in look.looked_at for path in seen.files.paths()]
    with ThreadPoolExecutor(usable_cores()) as pool:
        return any(pool.map(any_of, (paths[at : at + 64] for at in range(0, len(paths), 64))))
