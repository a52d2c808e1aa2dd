"""Words that messages share."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)

SHOWN = 5  # items a message lists before it counts the rest
MOST_DIGITS = 40  # of an integer that a message shows
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def listed(items: Iterable[object], shown: int = SHOWN, *, total: int | None = None) -> str:
    """The first few of a list, and how many more there are: ``a, b and 3 more``.

    `total` is how many there are where `items` holds only the first ones.
    """
    texts = [str(item) for item in items]
    more = (len(texts) if total is None else total) - shown
    return ", ".join(texts[:shown]) + (f" and {more} more" if more > 0 else "")


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: ``1 class``, ``2 classes``; `many` defaults to `one` + s."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def as_written(value: object) -> str:
    """A setting as YAML writes it: ``true``, ``null``, ``'text'``, ``3``; huge integers by their size."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if _is_huge(value):  # Python refuses to write 4,300 digits
        return f"an integer of more than {MOST_DIGITS} digits"
    if isinstance(value, list) and any(map(_is_huge, value)):
        return f"[{', '.join(map(as_written, value))}]"
    return repr(value)


def _is_huge(value: object) -> bool:
    return isinstance(value, int) and abs(value) >= 10**MOST_DIGITS


def bound_text(bound: float) -> str:
    """The bound of a rule: ``0.5``, ``1024``, ``10⁹``, ``2⁶³ − 1``."""
    if abs(bound) < 10**5 or bound != int(bound):
        return f"{bound:g}"
    if bound < 0:
        return f"−{bound_text(-bound)}"
    for offset, base, exponent in ((0, 10, len(str(int(bound))) - 1), (1, 2, int(bound).bit_length())):
        if bound + offset == type(bound)(base**exponent):
            power = f"{base}{str(exponent).translate(SUPERSCRIPTS)}"
            return f"{power} − {offset}" if offset else power
    return str(int(bound))


def searched(folders: Iterable[Path]) -> str:
    """The folders of a search in vain, and the folder that relative ones start in."""
    folders = list(folders)
    relative = not all(folder.is_absolute() for folder in folders)
    start = f"; relative ones start in {os.getcwd()}" if relative else ""
    return ", ".join(map(str, folders)) + start


def looked_for(path: str | Path) -> str:
    """A path as it was given, and in full where that differs: a relative one starts where the command runs.

    ``'pictures' (/home/me/pictures, which is not there)``
    """
    full = os.path.abspath(os.path.expanduser(path))
    try:
        state = f"which is {file_kind(os.stat(full).st_mode)}"
    except (OSError, ValueError):
        state = "which is a link to nothing" if os.path.islink(full) else "which is not there"
    return f"{str(path)!r} ({state if str(path) == full else f'{full}, {state}'})"


def encodable(path: object) -> str:
    """A path as text that UTF-8 can hold: bytes of its name that are not characters become question marks."""
    return str(path).encode("utf-8", "replace").decode("utf-8")


def for_terminal(text: str) -> str:
    """`text` as a terminal may get it: what it would obey instead of showing is written ``\\u001b``.

    Those are control characters but line breaks and tabs, what turns the direction of text, and halves of
    characters. Any other character stays. JSON stays the same JSON.
    """
    return _OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def printable(path: object) -> str:
    """A path or a name on one line, as :func:`for_terminal`; bytes that are no characters: question marks."""
    return for_terminal(encodable(path)).replace("\n", "\\u000a").replace("\t", "\\u0009")


def file_kind(mode: int) -> str:
    """What a file's mode says it is: ``a file``, ``a folder``, ``a FIFO``, ``a socket``, ``a device``."""
    kinds = {stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO"}
    return {**kinds, stat.S_IFSOCK: "a socket"}.get(stat.S_IFMT(mode), "a device")


def excerpt(text: object, most: int = 40) -> str:
    """The beginning of what a file or a user says, for a message: what it is about, not all of it."""
    text = str(text)
    return text if len(text) <= most else f"{text[:most]}…"
