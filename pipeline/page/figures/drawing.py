"""What every figure shares: palette, line styles, canvas and legend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1b1b1b", "#6a6a6a", "#dcdcdc", "#ffffff"
# Okabe, Ito 2008 (Color Universal Design) without its yellow, which is too faint on white.
VERMILION, BLUE, GREEN, ORANGE, SKY, PURPLE = "#d55e00", "#0072b2", "#009e73", "#e69f00", "#56b4e9", "#cc79a7"
# (name in the page's style sheet, colour on white, colour on black)
PALETTE = (
    ("ink", INK, "#ededed"),
    ("muted", MUTED, "#a8a8a8"),
    ("grid", GRID, "#3d3f44"),
    ("paper", PAPER, "#17181b"),
    ("vermilion", VERMILION, "#ff8640"),
    ("blue", BLUE, "#3f9fe0"),
    ("green", GREEN, "#1fc298"),
    ("orange", ORANGE, "#ffb92e"),
    ("sky", SKY, "#9bd8fa"),
    ("purple", PURPLE, "#e59ac4"),
)
WIDTH = 5.0  # inches; at 72 units an inch the text keeps its size on a telephone
LINE = 0.18  # inches a line of a title or of a legend takes


class Style(NamedTuple):
    """How one of several lines is drawn: lines differ in dashes and markers as well as in colour."""

    color: str
    linestyle: object
    marker: str


STYLES = (
    Style(INK, "-", "o"),
    Style(VERMILION, (0, (5, 1.5)), "s"),
    Style(BLUE, (0, (5, 1.2, 1, 1.2)), "^"),
    Style(GREEN, (0, (1.5, 1)), "D"),
    Style(ORANGE, (0, (8, 2)), "v"),
    Style(SKY, (0, (3, 1, 1, 1, 1, 1)), "P"),
    Style(PURPLE, (0, (2, 2)), "X"),
)


class Missing(Exception):
    """A figure that cannot be drawn; the reason is for the reader."""


class SamplePicture(NamedTuple):
    """A small picture beside a figure: its PNG file and what it shows."""

    png: bytes
    text: str


@dataclass(frozen=True)
class Drawing:
    """A figure with what it shows in words: `title` the finding, `caption` how to read it."""

    key: str
    title: str
    caption: str
    figure: Figure
    pictures: list[SamplePicture] = field(default_factory=list)

    @property
    def heading(self) -> str:
        """The title, its numbers never parted from their units at the end of a line."""
        return _unparted(self.title)

    @property
    def reading(self) -> str:
        """The caption, likewise."""
        return _unparted(self.caption)


def _unparted(text: str) -> str:
    return text.replace(" %", "\u00a0%").replace(" = ", "\u00a0=\u00a0")


@contextmanager
def house_style() -> Iterator[None]:
    """Inside the block figures are drawn and saved in one style; matplotlib's settings come back after it."""
    import matplotlib

    settings = {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.labelsize": 9,
        "axes.titlesize": 9,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "text.color": INK,
        "text.parse_math": False,  # a class may be called $x$
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "lines.linewidth": 1.5,
        "lines.markersize": 4.5,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "legend.handlelength": 3.2,
        "svg.fonttype": "none",
        "svg.hashsalt": "longtail",
    }
    with matplotlib.rc_context(settings):
        yield


def canvas(
    rows: int = 1, *, height: float = 3.0, ratios: list[float] | None = None
) -> tuple[Figure, list[Axes]]:
    """An empty figure with `rows` axes above each other that share their horizontal axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=ratios)
    return figure, list(grid[:, 0])


def line(axes: Axes, x, y, style: Style, *, label: str | None = None, every: float | None = None) -> None:
    """A line through (x, y) in `style`, with about a dozen markers; `every` is matplotlib's ``markevery``."""
    axes.plot(
        x,
        y,
        color=style.color,
        linestyle=style.linestyle,
        marker=style.marker,
        markevery=every or max(1, len(x) // 12),
        label=label,
    )


def panels(count: int, *, columns: int = 2, height: float = 2.0) -> tuple[Figure, list[Axes]]:
    """An empty figure with `count` axes side by side that share both axes, each `height` inches."""
    from matplotlib.figure import Figure

    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, height * rows + 0.4), layout="constrained")
    grid = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axes in grid[count:]:
        axes.set_axis_off()
    return figure, grid[:count]


def number(value: float) -> str:
    """A number with two decimals and a true minus sign."""
    return f"{value:.2f}".replace("-", "−")


def signed(points: float) -> str:
    """Points with one decimal and their sign, a true minus."""
    return f"{points:+.1f}".replace("-", "−")


def _is_name(label: str) -> bool:
    """True for a label of ours that begins with an underscore; matplotlib's own are ``_child0``."""
    return label.startswith("_") and not re.fullmatch(r"_(child|nolegend_).*", label)


def legend(figure: Figure, axes: Axes, *, columns: int = 3) -> None:
    """A legend of `axes` above everything; the figure grows by what it takes."""
    for artist in [*axes.lines, *axes.collections, *axes.patches]:
        if _is_name(artist.get_label()):  # matplotlib leaves labels out that begin with an underscore
            artist.set_label(f"\N{ZERO WIDTH SPACE}{artist.get_label()}")
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    widest = max(map(len, labels), default=0)
    columns = min(columns, len(labels), max(1, 54 // (widest + 7)))
    figure.set_figheight(figure.get_figheight() + LINE * -(-len(labels) // columns))
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, columnspacing=1.2)
