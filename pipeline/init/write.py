"""A first configuration for a folder of pictures, each choice with its reason."""

from __future__ import annotations

import logging
import math
import os
import shlex
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.loading import check_config
from longtail.pipeline.config.setting_names import data_settings, settings_named
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.files.publish import publish_bytes
from longtail.pipeline.init.proposal import Choice, Pictures, propose
from longtail.pipeline.work.class_chart import chart
from longtail.stages.data.files.picture_folders import scan
from longtail.stages.data.pictures.read_picture import FORMATS
from longtail.stages.wording import listed, printable

log = logging.getLogger("longtail")

LOOKED_AT = 200  # pictures whose headers are read
GREY = ("1", "L", "LA", "I;16", "I;16B", "I;16L")  # Pillow's modes without colour
COARSE = 5  # tested pictures of a class below which its accuracy says little


def start(folder: str, output: str | None = None, *, force: bool = False) -> str:
    """Write a configuration for `folder` to `output`, by default its name in the working directory.

    Returns class counts and the next command, for a terminal. LongtailError when the file exists (unless
    `force`), ValueError when the folder holds no classes with pictures.
    """
    name = Path(os.path.abspath(Path(folder).expanduser())).name or "pictures"  # of a link its own name
    path = Path(output or f"{name}.yaml")
    if path.exists() and not force:
        raise LongtailError(f"{path}: exists already; --force overwrites it, --output FILE writes elsewhere")
    found = survey(folder)
    sections, held = propose(folder, found)
    settings = {name: {c.key: c.value for c in choices} for name, choices in sections.items()}
    check_config(settings, str(path))
    command = f"longtail run {shlex.quote(str(path))}"
    publish_bytes(path, to_yaml(sections, command, folder, found).encode())
    _warn_of_coarse(held["test"])
    sizes = {"validation": sum(held["val"].values()), "test": sum(held["test"].values())}
    drawn = chart(list(held["train"]), list(held["train"].values()), **sizes, **settings["evaluation"])
    return f"{drawn}\nwritten: {path}\nnext: {command}"


# -- looking ----------------------------------------------------------------------------------------------


def survey(folder: str) -> Pictures:
    """Counts of every class, and sizes of some pictures from their headers; nothing is decoded."""
    with settings_named(data_settings("image_folder")):
        parts, names = scan(folder)
    if len(names) < 2:
        raise LongtailError(f"{folder}: holds pictures of one class, {names[0]!r}: nothing to tell apart")
    counts = {}
    for part, pictures in parts.items():
        tally = Counter(picture.label for picture in pictures)
        counts[part] = {name: tally[name] for name in names}
    everything = [picture.path for pictures in parts.values() for picture in pictures]
    step = max(1, math.ceil(len(everything) / LOOKED_AT))
    top = Path(folder).expanduser()
    sides, grey, broken = _look_at([top / path for path in everything[::step]])
    return Pictures(counts, sides, grey, [str(path.relative_to(top)) for path in broken])


def _look_at(paths: Sequence[Path]) -> tuple[list[int], bool, list[Path]]:
    """(shorter sides in pixels, whether none has colour, what cannot be read).

    LongtailError when no picture can be read.
    """
    from PIL import Image

    sides, modes, broken = [], set(), {}
    for path in paths:
        try:
            with Image.open(path, formats=FORMATS) as picture:
                sides.append(min(picture.size))
                modes.add(picture.mode)
        except Exception as error:  # Pillow raises anything, from OSError to IndexError
            broken[path] = f"{path} ({error or type(error).__name__})"
    if not sides:
        raise LongtailError(f"none of {len(paths)} pictures looked at can be read: {listed(broken.values())}")
    if broken:
        log.warning(
            "%d of %d pictures looked at cannot be read: %s; they are left out (data.unreadable: skip)",
            len(broken),
            len(paths),
            listed(broken.values()),
        )
    return sides, modes <= set(GREY), list(broken)


# -- writing ----------------------------------------------------------------------------------------------


def to_yaml(sections: dict[str, list[Choice]], command: str, folder: str, found: Pictures) -> str:
    """The proposal as YAML, a comment before each choice that has a reason."""
    train = found.counts["train"].values()
    head = [
        command,
        f"{found.total} pictures below {folder}; {max(train)} … {min(train)} of each of {len(train)} classes"
        + (" to train on." if len(found.counts) > 1 else "."),
        "Proposed from counts and picture sizes, not yet measured; every line may be changed.",
    ]
    lines = [_comment(line, "") for line in head]
    for section, choices in sections.items():
        lines.append(f"{section}:")
        for choice in choices:
            if choice.why:
                lines.append(_comment(choice.why, "  "))
            lines.append(textwrap.indent(strict_yaml.dump({choice.key: choice.value}).rstrip("\n"), "  "))
    return "\n".join(lines) + "\n"


def _comment(text: str, indent: str) -> str:
    # A folder's name may hold line breaks, and YAML's are more than Python's textwrap knows.
    text, mark = printable(text), f"{indent}# "
    return textwrap.fill(text, 110, initial_indent=mark, subsequent_indent=mark, break_long_words=False)


def _warn_of_coarse(tested: dict[str, int]) -> None:
    name = min(tested, key=tested.__getitem__)
    count = tested[name]
    if not count:
        log.warning("class %r has no test picture: its accuracy stays undefined", name)
    elif count < COARSE:
        log.warning(
            "class %r is tested on %d of its pictures: accuracy in steps of %.0f %%", name, count, 100 / count
        )
