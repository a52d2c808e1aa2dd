"""Disk use under the output root, and removing what nothing needs any more."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from longtail.pipeline.files.at_work import exclusive
from longtail.pipeline.files.publish import TEMPORARY
from longtail.pipeline.store.inventory import (
    FINISHED,
    FOREIGN,
    KINDS,
    ORPHAN,
    PART,
    STATE,
    UNFINISHED,
    Item,
    inventory,
    measure,
)  # fmt: skip
from longtail.pipeline.store.store import Store
from longtail.stages.data.files.download import ASIDE, DOWNLOADED_TO
from longtail.stages.wording import printable

UNTOUCHED = 3600.0  # seconds; a process that is alive writes more often than that
SHOWN = 10  # results of a list that may be long
REMOVE, BUSY, AT_WORK, MIXED = "remove", "busy", "at work", "mixed"


def clean(store: Store, *, dry_run: bool = False, unfinished: bool = False, states: bool = False) -> str:
    """Remove orphans; returns what takes how much, what was removed and what was kept, for a terminal.

    Folders that killed downloads left in ``data`` go as well. `unfinished` also removes results that are not
    finished, `states` the optimiser states of finished runs. What was written within the hour is left alone,
    states apart: a process may be at work on it. `dry_run` removes nothing.

    Raises LongtailError when there is no root, OSError when something cannot be removed.
    """
    items = inventory(store)
    fates = sort_out(items, now=time.time(), unfinished=unfinished, states=states)
    freed = sum(item.bytes for item in fates[REMOVE]) if dry_run else remove(store, fates[REMOVE])
    downloads, more = _downloads(dry_run)
    texts = [_usage(store, items), *_lists(store, fates, dry_run), *downloads, _freed(freed + more, dry_run)]
    return "\n\n".join(texts)


def sort_out(
    items: Iterable[Item], *, now: float, unfinished: bool = False, states: bool = False
) -> dict[str, list[Item]]:
    """Items by fate: remove, their state, or why they are kept: busy, at work, mixed with files not ours."""
    items = list(items)
    mixed = {item.path.parent for item in items if item.state == FOREIGN}
    wanted = {ORPHAN: True, UNFINISHED: unfinished, STATE: states}
    fates: dict[str, list[Item]] = {fate: [] for fate in (REMOVE, BUSY, AT_WORK, MIXED)}
    for item in items:
        fate = item.state
        if wanted.get(item.state):
            fate = REMOVE
            if item.path in mixed:
                fate = MIXED
            elif item.at_work:
                fate = AT_WORK
            elif item.state != STATE and now - item.touched < UNTOUCHED:
                fate = BUSY
        fates.setdefault(fate, []).append(item)
    folders = {item.path for item in fates[REMOVE]}
    fates[REMOVE] = [item for item in fates[REMOVE] if item.path.parent not in folders]
    return fates


def remove(store: Store, items: Iterable[Item]) -> int:
    """Remove `items`; returns the bytes that are free now."""
    freed = 0
    for item in items:
        folder = item.path if item.path.is_dir() else item.path.parent
        with exclusive(folder) as nobody, suppress(FileNotFoundError):  # somebody else cleans as well
            if not nobody and item.state != STATE:  # its process has begun since
                continue
            if item.path.is_dir():
                store.discard(item.kind, item.path.name)
            else:
                item.path.unlink()
            freed += item.bytes
    return freed


def _downloads(dry_run: bool) -> tuple[list[str], int]:
    """Remove what killed downloads left in ``data``, where data sets are kept; (paragraphs, bytes)."""
    left = {path: measure(path) for path in sorted(Path(DOWNLOADED_TO).glob(f"{ASIDE}*")) if path.is_dir()}
    old = {path: used for path, (used, touched) in left.items() if time.time() - touched >= UNTOUCHED}
    if not old:
        return [], 0
    for path in () if dry_run else old:
        with suppress(FileNotFoundError):  # somebody else cleans as well
            shutil.rmtree(path)
    what = "would be removed" if dry_run else "removed"
    lines = [f"  {path}  {size(used)}" for path, used in old.items()]
    return ["\n".join([f"{what}, left by killed downloads", *lines])], sum(old.values())


def size(count: int) -> str:
    """Bytes as a person reads them: ``12.3 MB``."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def _usage(store: Store, items: list[Item]) -> str:
    top = {kind: [item for item in items if item.path.parent == store.root / kind] for kind in KINDS}
    top["other"] = [item for item in items if item.path.parent == store.root]
    total = sum(item.bytes for members in top.values() for item in members)
    lines = [f"{store.root}: {size(total)}"]
    for kind, members in top.items():
        results = sum(item.state != FOREIGN and item.path.suffix not in (PART, TEMPORARY) for item in members)
        used = size(sum(item.bytes for item in members))
        lines.append(f"  {kind:<15}  {'' if kind == 'other' else results:>6}  {used:>8}")
    large = [item for kind in KINDS[:2] for item in top[kind] if item.state == FINISHED]
    if large:
        lines += ["", "finished, largest first", *_rows(store, sorted(large, key=lambda i: -i.bytes))]
    return "\n".join(lines)


def _lists(store: Store, fates: dict[str, list[Item]], dry_run: bool) -> list[str]:
    headings = {
        REMOVE: "would be removed" if dry_run else "removed",
        BUSY: "kept: written within the hour, a process may be at work on it",
        AT_WORK: "kept: a process that is alive is at work on it",
        MIXED: "kept: holds files that are not ours",
        UNFINISHED: "unfinished, kept: the same command continues them, --unfinished removes them",
        FOREIGN: "not ours, left alone",
    }
    texts = []
    for fate, heading in headings.items():
        members = fates.get(fate, [])
        if members:
            title = f"{heading} ({size(sum(item.bytes for item in members))})"
            # What goes is shown whole, but for optimiser states: they are many, and all alike.
            named = [item for item in members if fate == REMOVE and item.state != STATE]
            alike = [item for item in members if fate != REMOVE or item.state == STATE]
            texts.append("\n".join([title, *_rows(store, named, len(named)), *_rows(store, alike)]))
    states = fates.get(STATE, [])
    if states:
        used = size(sum(item.bytes for item in states))
        runs = len({item.path.parent for item in states})
        texts.append(
            f"optimiser states of finished runs: {used} in {runs}; --states removes them: "
            "only representation.init and repairing damaged weights need them"
        )
    return texts


def _rows(store: Store, items: list[Item], shown: int = SHOWN) -> list[str]:
    names = [printable(item.path.relative_to(store.root)) for item in items[:shown]]
    width = max(map(len, names), default=0)
    rows = [
        f"  {name:<{width}}  {size(item.bytes):>8}  {item.reason or item.state}".rstrip()
        for name, item in zip(names, items, strict=False)
    ]
    rest = items[shown:]
    return rows + ([f"  and {len(rest)} more ({size(sum(i.bytes for i in rest))})"] if rest else [])


def _freed(freed: int, dry_run: bool) -> str:
    return f"would free {size(freed)}" if dry_run else f"freed {size(freed)}"
