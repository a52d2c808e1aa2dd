"""What imports what, by full module names."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from tests.places import CHECKOUT

FOLDERS = ("configs", "longtail", "pipeline", "stages")


def sources(*folders: str) -> list[Path]:
    """Every Python file of the package, or of some of its folders."""
    return [path for folder in folders or FOLDERS for path in sorted((CHECKOUT / folder).rglob("*.py"))]


def module_name(path: Path) -> str:
    """The full name a file is imported by: ``longtail.stages.losses`` for stages/losses/__init__.py."""
    steps = path.relative_to(CHECKOUT).with_suffix("").parts
    steps = steps[:-1] if steps[-1] == "__init__" else steps
    return ".".join(steps if steps[0] == "longtail" else ("longtail", *steps))


@cache
def imported(path: Path) -> frozenset[str]:
    """Names a file imports anywhere, functions included: modules, and what is taken from them.

    Imports for type checkers alone do not count.
    """
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(names)


@cache
def import_graph() -> dict[str, frozenset[str]]:
    """Each of our modules with those of ours that it imports.

    ``from longtail.stages import registry`` is an import of the module, not of the package around it.
    """
    modules = {module_name(path): path for path in sources()}
    graph = {}
    for name, path in modules.items():
        used = set()
        for target in imported(path):
            parent = target.rpartition(".")[0]
            if target in modules:
                used.add(target)
            elif parent in modules:
                used.add(parent)
        taken_from = {t.rpartition(".")[0] for t in used if t in modules and t.rpartition(".")[0] in used}
        own = {t for t in taken_from if not _takes_names_of(path, t, modules)}
        graph[name] = frozenset(used - own - {name})
    return graph


def _takes_names_of(path: Path, package: str, modules: dict[str, Path]) -> bool:
    """Whether a file imports anything of a package besides the modules in it."""
    names = imported(path)
    direct = {n for n in names if n.rpartition(".")[0] == package and n not in modules}
    return bool(direct)


def circles(graph: dict[str, frozenset[str]]) -> list[str]:
    """Modules that cannot be put in an order in which each comes after all it imports."""
    left = {name: set(uses) for name, uses in graph.items()}
    while True:
        free = [name for name, uses in left.items() if not uses & left.keys()]
        if not free:
            return sorted(left)
        for name in free:
            del left[name]
