"""Modules of other packages that bring components: named by entry points, or by ``longtail --import``.

A package announces a module under the entry-point group ``longtail.components``::

    [project.entry-points."longtail.components"]
    mine = "acme.losses"

``longtail --import MODULE`` (:func:`add`) takes a module or a .py file without any of that. In either case
the module, or each file of it where it is a package, looks like one of longtail's own::

    from longtail.stages.losses import LOSSES           # the registry, from where it is defined, or
    from longtail import LOSSES                         # from longtail
    from longtail.stages.parameters import Positive

    @LOSSES.register("mine")
    class Mine(Loss): ...

It is read as ours are (:mod:`.scan`) and imported only when one of its components is used, which must then
register it: importing torch in it costs nothing before. A module without source text (a compiled one) is
imported at once. A data set's module also defines ``sources(**parameters)``, the files that identify the
data.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from longtail.stages.registry.source import OURS, Unreadable, files_of, locate, read

GROUP = "longtail.components"


class LostComponentWarning(UserWarning):
    """Components that are left out, and why."""


@dataclass(frozen=True)
class Outside:
    """A module that brings components: its files by module name, and the name a user knows it by."""

    module: str
    files: Mapping[str, Path]
    origin: str


_ADDED: dict[str, tuple[str, Outside]] = {}  # by import name or absolute path: (as the user gave it, module)


def modules() -> list[Outside]:
    """Every module from outside, installed ones first."""
    return [*_announced(), *(outside for _, outside in _ADDED.values())]


def added() -> list[tuple[str, str]]:
    """The arguments for :func:`add` by which another process knows the same components."""
    return [(lasting, given) for lasting, (given, _) in _ADDED.items()]


def add(module: str, given: str | None = None) -> None:
    """Let the registries know the components of a module, or of a .py file.

    `given` is how the user wrote it, if that differs. A file's folder joins the end of the search path: the
    file is imported by its own name, here and in worker processes. Raises ValueError for a module that does
    not exist, does not parse, registers nothing, or has a name that is taken.
    """
    if module.endswith(".py"):
        file = Path(os.path.expanduser(module)).resolve()
        name, lasting = _importable(file, module), str(file)
    else:
        name = lasting = module
    if lasting not in _ADDED and all(outside.module != name for outside in _announced()):
        outside = _located(name, f"--import {given or module}")
        if len(outside.files) == 1:  # of a package other files may be well
            ((own, path),) = outside.files.items()
            read(own, path).tree  # noqa: B018 - raises what is wrong with it
        _ADDED[lasting] = given or module, outside


def _importable(file: Path, given: str) -> str:
    """The name a file can be imported by from now on."""
    name = file.stem
    if not file.is_file():
        raise ValueError(f"{given}: no such file")
    if not name.isidentifier():
        raise ValueError(f"{given}: a file to import must be named like a module, in letters, digits and _")
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
        importlib.invalidate_caches()
    spec = locate(name)
    if spec is None or spec.origin is None or Path(spec.origin).resolve() != file:
        where = "built into Python" if spec is None else spec.origin
        raise ValueError(f"{given}: there is another module {name} ({where}); rename the file")
    return name


@cache
def _announced() -> tuple[Outside, ...]:
    """Modules of installed packages; a warning for each that cannot be used."""
    from importlib.metadata import entry_points

    announced = []
    for entry in entry_points(group=GROUP):
        origin = f"package {entry.dist.name}"
        try:
            announced.append(_located(entry.module, origin))
        except ValueError as error:
            left_out(f"entry point {entry.name} of {origin}: {error}; its components are left out")
    return tuple(announced)


def _located(module: str, origin: str) -> Outside:
    """A module with its files, imported only where it has no source text. ValueError if it cannot be used."""
    steps = module.split(".")
    if not all(step.isidentifier() for step in steps) or locate(module) is None:
        file = f"; did you mean {module}.py?" if Path(f"{module}.py").is_file() else ""
        raise ValueError(f"there is no module {module!r}{file}")
    if steps[0] == OURS:
        raise ValueError(f"{module} is longtail's own")
    files = files_of(module)
    if not files:
        try:
            importlib.import_module(module)
        except Exception as error:
            raise ValueError(f"{module} cannot be imported ({type(error).__name__}: {error})") from error
    elif not any(_registers(name, path) for name, path in files.items()):
        raise ValueError(f"{module} registers no component")
    return Outside(module, files, origin)


def _registers(module: str, path: Path) -> bool:
    try:
        return ".register" in read(module, path).text
    except Unreadable:
        return True  # the registries say what is wrong with it


def left_out(text: str) -> None:
    """Warn of what is lost, in one line."""
    warnings.warn(text, LostComponentWarning, stacklevel=2)
