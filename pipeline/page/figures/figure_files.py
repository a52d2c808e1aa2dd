"""Figures as files, and as SVG inside a page, whose colours follow the reader's light or dark."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree

from longtail.pipeline.files.outputs import GENERATOR
from longtail.pipeline.page.figures.drawing import LINE, PALETTE, PAPER, Drawing

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
FAMILIES = re.compile(r"(font:[^;]*?px) [^;]*")


def page_svg(drawing: Drawing, prefix: str) -> str:
    """The figure as an ``<svg>`` element for a page: ids under `prefix`, colours the page's variables."""
    root = ElementTree.fromstring(_svg(drawing))
    for parent in list(root.iter()):
        for child in [c for c in parent if c.tag == f"{{{SVG}}}style"]:  # it would style the whole page
            parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{SVG}}}")
        link = element.attrib.pop(f"{{{XLINK}}}href", None)
        if link:
            element.set("href", f"#{prefix}-{link[1:]}" if link.startswith("#") else link)
        for name, value in list(element.attrib.items()):
            element.set(name, _local(name, value, prefix))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", f"{drawing.heading}. {drawing.reading}")
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def figure_file(drawing: Drawing, form: str) -> bytes:
    """The figure as a file of its own, svg or png, on white, its title above it."""
    with _titled(drawing):
        if form == "svg":
            return _svg(drawing, facecolor=PAPER)
        file = io.BytesIO()
        drawing.figure.savefig(file, format="png", dpi=200, facecolor=PAPER, metadata={"Software": GENERATOR})
        return file.getvalue()


@contextmanager
def _titled(drawing: Drawing) -> Iterator[None]:
    """Inside the block the figure has its title above it; matplotlib puts its own over an outside legend."""
    figure, lines = drawing.figure, textwrap.wrap(drawing.heading, 64)
    height = figure.get_figheight()
    whole = height + 0.08 + LINE * len(lines)
    below = (0, 0, 1, height / whole)
    figure.set_figheight(whole)
    figure.get_layout_engine().set(rect=below)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # which gives no room to a legend that is moved
    for outside in figure.legends:
        outside.set_bbox_to_anchor(below, figure.transFigure)
    text = figure.text(0.01, 1 - 0.05 / whole, "\n".join(lines), va="top", fontsize=10)
    yield
    text.remove()
    for outside in figure.legends:
        outside.set_bbox_to_anchor(None)
    figure.set_layout_engine("constrained")
    figure.set_figheight(height)


def _svg(drawing: Drawing, **options) -> bytes:
    file = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # the same figure is the same bytes
    metadata = nothing
    if options:
        own = {"Creator": GENERATOR, "Title": drawing.title, "Description": drawing.caption}
        metadata = {**nothing, **own}
    drawing.figure.savefig(file, format="svg", metadata=metadata, **(options or {"transparent": True}))
    return file.getvalue()


def _local(name: str, value: str, prefix: str) -> str:
    """An attribute as it stands on the page."""
    if name == "id":
        return f"{prefix}-{value}"
    value = value.replace("url(#", f"url(#{prefix}-")
    if name in ("style", "fill", "stroke"):
        for variable, light, _ in PALETTE:
            value = value.replace(light, f"var(--{variable})")
    return FAMILIES.sub(r"\1 sans-serif", value) if name == "style" else value
