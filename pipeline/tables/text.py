"""Cells as text: tables for a terminal, Markdown, CSV, and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

FORMATS = ("table", "markdown", "csv", "json")
FORMULA = ("=", "+", "-", "−", "@", "＝", "＋", "－", "＠", "\t", "\n")  # what one begins with
NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)


def aligned_table(lines: Sequence[Sequence[str]]) -> str:
    """Cells as a table for a terminal, the first line its head; the first column reads from the left."""
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    drawn = [
        line[0].ljust(widths[0])
        + "".join(f"  {cell.rjust(w)}" for cell, w in zip(line[1:], widths[1:], strict=True))
        for line in lines
    ]
    drawn.insert(1, "─" * max(map(len, drawn)))
    return "\n".join(line.rstrip() for line in drawn)


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Cells as a Markdown table after an empty line, the first line its head."""
    drawn = [markdown_line(line) for line in lines]
    return "\n".join(["", drawn[0], "|---|" + "---:|" * (len(lines[0]) - 1), *drawn[1:]])


def markdown_line(cells: Iterable[str]) -> str:
    """A line of a Markdown table; no cell ends early or opens a tag."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "\\<") for cell in cells) + " |"


def csv_text(lines: Iterable[Sequence[Any]]) -> str:
    """Cells as CSV, the first line its head; None is empty.

    Text that a spreadsheet would take for a formula has an apostrophe before it; numbers stay numbers. A
    carriage return, at which some readers begin a line, is escaped.
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(map(_inert, line) for line in lines)
    return out.getvalue().removesuffix("\n")


def _inert(cell: Any) -> Any:
    """A cell that no spreadsheet computes. Source: OWASP, CSV injection."""
    if not isinstance(cell, str):
        return cell
    cell = cell.replace("\r", "\\u000d")
    return f"'{cell}" if cell.startswith(FORMULA) and not NUMBER.fullmatch(cell) else cell


def json_text(value: Any) -> str:
    """A JSON value over several lines. NaN and infinity raise ValueError."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
