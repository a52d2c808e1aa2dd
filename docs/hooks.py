"""What the site needs beside the pages of this folder; mkdocs calls these functions.

Some pages lie elsewhere in the repository, where its readers look for them. Links between all of them are
written as paths within the repository and are translated here.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import tempfile
from pathlib import Path

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

REPOSITORY = Path(__file__).resolve().parents[1]
ELSEWHERE = {  # path in the repository: page of the site
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "licence.md",
    "configs/README.md": "recipes.md",
}
LINK = re.compile(r"(\]\()([^)\s:#]+)((?:#[^)\s]*)?\))")
ROLE = re.compile(r":(?:meth|class|func|mod|attr):`~?\.?([^`]+)`")
EXAMPLE = re.compile(r'(?m)^( *)>>> .*\n(?:\1(?!""").+\n)*')

_sources: list[Path] = []


def on_files(files, config):
    """Add the pages that lie elsewhere."""
    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(REPOSITORY / source)))
    return files


def on_page_markdown(markdown, page, **_):
    """Links as the site has them."""
    source = next((s for s, p in ELSEWHERE.items() if p == page.file.src_uri), f"docs/{page.file.src_uri}")
    return LINK.sub(lambda m: f"{m[1]}{in_site(m[2], source, page.file.src_uri)}{m[3]}", markdown)


def in_site(target: str, source: str, page: str) -> str:
    """Where `page`, which is `source` in the repository, links to for a path relative to `source`."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    place = ELSEWHERE.get(path) or path.removeprefix("docs/")
    return posixpath.relpath(place, posixpath.dirname(page) or ".")


@event_priority(100)
def on_config(config):
    """Lay the sources out under their import names, where the reader of docstrings looks for them."""
    folder = Path(tempfile.mkdtemp(prefix="longtail-docs-"))
    _sources.append(folder)
    shutil.copytree(REPOSITORY / "longtail", folder / "longtail")
    for name in ("stages", "pipeline"):
        for path in (REPOSITORY / name).rglob("*.py"):
            copy = folder / "longtail" / path.relative_to(REPOSITORY)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(as_markdown(path.read_text(encoding="utf-8")), encoding="utf-8")
    python = config.plugins["mkdocstrings"].config.handlers.setdefault("python", {})
    python["paths"] = [str(folder)]
    return config


def as_markdown(code: str) -> str:
    """Code with Markdown in its docstrings: roles become code spans, examples are fenced."""
    code = ROLE.sub(r"`\1`", code)
    code = re.sub(r"::\n\n(?= {4})", ":\n\n", code)
    return EXAMPLE.sub(lambda m: f"{m[1]}```pycon\n{m[0]}{m[1]}```\n", code)


def on_post_build(config):
    """Remove what `on_config` laid out."""
    while _sources:
        shutil.rmtree(_sources.pop(), ignore_errors=True)
