"""Python files as text: where they lie, what names in them stand for, which classes theirs derive from.

Nothing is imported, neither a file nor the packages around it.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

OURS = "longtail"


class Unreadable(ValueError):
    """Source text that cannot be read: the message says where and why."""


@dataclass(frozen=True)
class Source:
    """The text of one module."""

    module: str
    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed text; Unreadable when it does not parse."""
        try:
            return ast.parse(self.text)
        except SyntaxError as error:
            raise Unreadable(f"{self.at(error.lineno or 1)}: is not Python ({error.msg})") from None
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"{self.at(1)}: is not Python ({error})") from None

    @cached_property
    def bindings(self) -> dict[str, str]:
        """The full names of what is bound at the top: ``{"L": "longtail.stages.losses.LOSSES"}``."""
        names: dict[str, str] = {}
        for node in _top_level(self.tree.body):
            if isinstance(node, ast.Import):
                names |= {a.asname or a.name.split(".")[0]: _imported(a) for a in node.names}
            elif isinstance(node, ast.ImportFrom):
                home = self._absolute(node)
                names |= {a.asname or a.name: f"{home}.{a.name}" for a in node.names if a.name != "*"}
            elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                names[node.name] = f"{self.module}.{node.name}"
            elif isinstance(node, ast.Assign):
                alias = dotted(node.value)
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        own = f"{self.module}.{target.id}"
                        names[target.id] = own if alias is None else _in_full(alias, names)
        return names

    def resolve(self, name: str) -> str:
        """The full name that a plain or dotted one stands for; itself when nothing in the file binds it."""
        return _in_full(name, self.bindings)

    def at(self, line: int) -> str:
        """``file:line`` for a message, the file as seen from here."""
        return f"{shown(self.path)}:{line}"

    def classes(self, name: str) -> list[ast.ClassDef]:
        """The class of a name at the top of the file: one, or none."""
        return [node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == name][-1:]

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        steps = self.module.split(".")
        steps = steps if self.path.name == "__init__.py" else steps[:-1]
        return ".".join([*steps[: len(steps) - node.level + 1], *([node.module] if node.module else [])])


Base = tuple[Source, ast.ClassDef] | str  # a class that can be read, or the full name of one that cannot


def lineage(source: Source, node: ast.ClassDef, below: frozenset[str] = frozenset()) -> list[Base]:
    """A class and those it derives from, in the order in which Python looks attributes up.

    Classes of the file's own package and of longtail are followed, others named. Unreadable for a base whose
    file does not parse.
    """
    own = f"{source.module}.{node.name}"
    bases: list[Base] = [(source, node)]
    for written in node.bases:
        name = dotted(written.value if isinstance(written, ast.Subscript) else written)
        full = ast.unparse(written) if name is None else source.resolve(name)
        followed = None if full in below or full == own else find_class(full, source.module)
        bases += lineage(*followed, below | {own}) if followed else [full]
    return [base for place, base in enumerate(bases) if base not in bases[place + 1 :]]


def find_class(full: str, near: str, steps: int = 5) -> tuple[Source, ast.ClassDef] | None:
    """The class of a full name where its source can be read and is of the package of `near` or of longtail.

    A name that its module imports from another is followed through at most `steps` modules.
    """
    module, _, name = full.rpartition(".")
    if not module or module.split(".")[0] not in {near.split(".")[0], OURS} or not steps:
        return None
    source = source_of(module)
    if source is None:
        return None
    for node in source.classes(name):
        return source, node
    again = source.bindings.get(name)
    return find_class(again, near, steps - 1) if again and again != full else None


def source_of(module: str) -> Source | None:
    """The source of a module by name; None where there is no such module, or no text of it."""
    spec = locate(module)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    return read(module, Path(spec.origin))


def read(module: str, path: Path) -> Source:
    """The text of a module, read again only when the file has changed. Unreadable when that fails."""
    try:
        return _read(module, path, path.stat().st_mtime_ns)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Unreadable(f"{shown(path)}: cannot be read ({reason})") from None


def forget() -> None:
    """Let go of every text and tree: kept, they would slow each of the garbage collector's rounds."""
    _read.cache_clear()


@cache
def _read(module: str, path: Path, changed: int) -> Source:
    return Source(module, path, path.read_text(encoding="utf-8"))


def locate(module: str) -> ModuleSpec | None:
    """The spec of a module, None if there is no such module, without importing the packages around it."""
    path, name, spec = None, "", None
    for step in module.split("."):
        name = f"{name}.{step}" if name else step
        loaded = sys.modules.get(name)
        spec = getattr(loaded, "__spec__", None) or _find(name, path)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    return spec


def _find(name: str, path: list[str] | None) -> ModuleSpec | None:
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    return next((spec for find in finders if find and (spec := find(name, path))), None)


def files_of(module: str) -> dict[str, Path]:
    """The module's file by its name; of a package every file below it that has no leading underscore."""
    spec = locate(module)
    if spec is None:
        return {}
    if not spec.submodule_search_locations:
        return {module: Path(spec.origin)} if spec.origin and spec.origin.endswith(".py") else {}
    folder = Path(next(iter(spec.submodule_search_locations)))
    paths = [p for p in sorted(folder.rglob("*.py")) if p.name == "__init__.py" or not p.name.startswith("_")]
    steps = [path.relative_to(folder).with_suffix("").parts for path in paths]
    names = [".".join([module, *(s[:-1] if s[-1] == "__init__" else s)]) for s in steps]
    return dict(zip(names, paths, strict=True))


def dotted(node: ast.expr | None) -> str | None:
    """``a.b.c`` for a chain of names; None for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return None if before is None else f"{before}.{node.attr}"
    return None


def literal(node: ast.AST) -> Any:
    """The value a literal stands for; ValueError for anything else."""
    try:
        return ast.literal_eval(node)
    except (TypeError, RecursionError) as error:  # of a list as a key of a mapping
        raise ValueError(str(error)) from None


def shown(path: Path) -> str:
    """A path as short as it can be given from here."""
    try:
        return str(path.relative_to(os.getcwd()))
    except (ValueError, OSError):
        return str(path)


def _in_full(name: str, names: dict[str, str]) -> str:
    head, dot, rest = name.partition(".")
    return f"{names.get(head, head)}{dot}{rest}"


def _imported(alias: ast.alias) -> str:
    """What ``import a.b`` binds: ``a``; what ``import a.b as c`` binds: ``a.b``."""
    return alias.name if alias.asname else alias.name.split(".")[0]


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a file is imported, those of ``if`` and ``try`` included."""
    for node in body:
        yield node
        for inner in ("body", "orelse", "finalbody") if isinstance(node, ast.If | ast.Try) else ():
            yield from _top_level(getattr(node, inner, []))
        for handler in getattr(node, "handlers", []):
            yield from _top_level(handler.body)
