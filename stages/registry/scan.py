"""Components read from source text, without importing it.

Reading, not importing, because importing every component takes seconds (torch, scikit-learn) where a command
that finds everything done needs a tenth of one; and not from an index kept by an earlier import, which would
have to be written somewhere, and be wrong after each edit.

What can be read is a small language, and everything else is refused by file, line and name, at the cost of
that component alone (of that file where it does not parse)::

    @LOSSES.register("mine", margin=0.5)    # at the top of the file; a literal name, literal arguments
    class Mine(Loss):
        head_kind = "cosine"                # a literal: a fact

        def __init__(self, class_counts, *, gamma: Positive = 1.0): ...

Settings are keyword-only, each with a rule (:mod:`.annotations`) and a literal default or none. The registry
may go by any name that the file gives it (``import LOSSES as L``). An ``__init__`` that is inherited is
looked for in the base classes, where they are of the same package or of longtail.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from longtail.stages.registry.annotations import rule_of
from longtail.stages.registry.component import REQUIRED, Component, Parameter
from longtail.stages.registry.source import OURS, Base, Source, Unreadable, dotted, lineage, literal

# Base classes whose __init__ has no settings.
BARE = re.compile(r"object|abc\.ABC|typing\.(Generic|Protocol)|torch\.nn(\..+)?\.Module|sklearn\.base\.\w+")


@dataclass(frozen=True)
class Asked:
    """What a registry looks for: its variable, the package it is for, the arguments it supplies itself."""

    variable: str
    package: str
    supplied: frozenset[str]

    def is_registry(self, source: Source, node: ast.expr) -> bool:
        """Whether an expression of a file is this registry, under whatever name."""
        name = dotted(node)
        home, _, variable = "" if name is None else source.resolve(name).rpartition(".")
        tops = {"", OURS, self.package.split(".")[0]}
        return name is not None and variable == self.variable and home.split(".")[0] in tops

    def is_register(self, source: Source, node: ast.AST) -> bool:
        """Whether an expression is this registry's ``register``."""
        is_method = isinstance(node, ast.Attribute) and node.attr == "register"
        return is_method and self.is_registry(source, node.value)


@dataclass(frozen=True)
class Lost:
    """Components of a file that cannot be used: their names as far as they are known, and why and where."""

    names: tuple[str, ...]
    module: str
    reason: str


def scan(source: Source, asked: Asked, origin: str = "") -> Iterator[Component | Lost]:
    """The components of one registry in one file, readable or lost."""
    if asked.variable not in source.text or "register" not in source.text:
        return
    try:
        body = source.tree.body
    except Unreadable as error:
        yield Lost(_names_in_text(source, asked), source.module, str(error))
        return
    consumed = []
    for node in body:
        for mark in getattr(node, "decorator_list", ()):
            if isinstance(mark, ast.Call) and asked.is_register(source, mark.func):
                consumed.append(mark.func)
                yield _component(source, node, mark, asked, origin)
    if source.text.count("register") > len(consumed):
        yield from _misplaced(source, asked, consumed)


def _names_in_text(source: Source, asked: Asked) -> tuple[str, ...]:
    """Names that a file which does not parse seems to register."""
    pattern = rf"""\b{asked.variable}\.register\(\s*["']([^"']+)["']"""
    return tuple(re.findall(pattern, source.text))


def _misplaced(source: Source, asked: Asked, consumed: list[ast.expr]) -> Iterator[Lost]:
    """Uses of ``register`` that are not decorators at the top of the file, which would be passed over."""
    for node in ast.walk(source.tree):
        if asked.is_register(source, node) and not any(node is other for other in consumed):
            rule = "must decorate a function or class at the top of the file, with a name"
            yield Lost((), source.module, f"{source.at(node.lineno)}: {ast.unparse(node)}: {rule}")


def _component(source: Source, node: Any, mark: ast.Call, asked: Asked, origin: str) -> Component | Lost:
    """What one decorator registers."""
    name = mark.args[0].value if len(mark.args) == 1 and isinstance(mark.args[0], ast.Constant) else None
    if not isinstance(name, str):
        reason = f"{source.at(mark.lineno)}: {ast.unparse(mark)}: the name must be a literal string"
        return Lost((), source.module, reason)
    problems = Reasons()
    fixed = _arguments(source, mark, problems)
    facts = fixed.pop("facts", {})
    parameters: dict[str, Parameter] = {}
    try:
        bases = lineage(source, node) if isinstance(node, ast.ClassDef) else []
        facts = {**_facts(bases), **facts}
        signature = _initializer(bases) if bases else (source, node)
        if signature is not None:
            parameters = _parameters(*signature, asked.supplied | fixed.keys(), problems)
    except Unreadable as error:
        problems.add(source, node, f"class {node.name}", str(error))
    if problems.texts:
        return Lost((name,), source.module, "; ".join(problems.texts))
    doc = inspect.cleandoc(ast.get_docstring(node) or "")
    return Component(name, source.module, node.name, parameters, fixed, doc, facts, origin)


class Reasons:
    """Why a component is lost, each reason with its place."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, source: Source, node: ast.AST, name: str, rule: str) -> None:
        """Note that what is called `name` at `node` breaks a `rule`."""
        self.texts.append(f"{source.at(node.lineno)}: {name}: {rule}")


def _arguments(source: Source, mark: ast.Call, problems: Reasons) -> dict[str, Any]:
    """The arguments a decorator gives beside the name."""
    values = {}
    for keyword in mark.keywords:
        name, text = keyword.arg or "**", ast.unparse(keyword.value)
        try:
            values[name] = literal(keyword.value)
        except ValueError:
            problems.add(source, keyword.value, name, f"must be a literal, got {text}")
        if name == "**":
            problems.add(source, keyword.value, name, "must be written out")
        if name == "facts" and not isinstance(values.setdefault(name, {}), dict):
            problems.add(source, keyword.value, name, f"must be a mapping, got {text}")
            values[name] = {}
    return values


def _facts(bases: list[Base]) -> dict[str, Any]:
    """Public class attributes that are literals, of a class and those it derives from."""
    facts: dict[str, Any] = {}
    for base in reversed(bases):
        for node in base[1].body if isinstance(base, tuple) else ():
            for name, value in _attributes(node):
                facts.pop(name, None)  # what a subclass computes is not what its base says
                try:
                    facts[name] = literal(value)
                except ValueError:
                    continue
    return {name: value for name, value in facts.items() if not name.startswith("_")}


def _attributes(node: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    """Names that a statement in a class's body binds, and what to."""
    if isinstance(node, ast.Assign):
        yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
        yield node.target.id, node.value
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name, node


def _initializer(bases: list[Base]) -> tuple[Source, ast.FunctionDef] | None:
    """The ``__init__`` a class has or inherits, given the class and its bases in order of lookup.

    None without one. Unreadable for one that cannot be read.
    """
    for base in bases:
        if isinstance(base, str):
            if not BARE.fullmatch(base):
                raise Unreadable(f"inherits __init__ from {base}, which is not read; write __init__ here")
            continue
        home, cls = base
        for inner in cls.body:
            if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                return home, inner
        for mark in cls.decorator_list:
            name = dotted(mark.func if isinstance(mark, ast.Call) else mark) or ""
            if name.rpartition(".")[2] == "dataclass":
                raise Unreadable(f"dataclass makes its __init__ ({home.at(cls.lineno)}); write it out")
    return None


def _parameters(
    source: Source, node: ast.FunctionDef, given: frozenset[str], problems: Reasons
) -> dict[str, Parameter]:
    """The settings a signature has; what is `given` otherwise is not one of them."""
    arguments, parameters = node.args, {}
    placed = [*arguments.posonlyargs, *arguments.args]
    for arg in placed[len(placed) - len(arguments.defaults) :]:
        if arg.arg not in given:
            problems.add(source, arg, arg.arg, "must be keyword-only to be a setting; put a * before it")
    if arguments.kwarg is not None:
        rule = "must be written out as keyword-only settings"
        problems.add(source, arguments.kwarg, f"**{arguments.kwarg.arg}", rule)
    for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if arg.arg not in given:
            parameters[arg.arg] = _parameter(source, arg, default, problems)
    return parameters


def _parameter(source: Source, arg: ast.arg, default: ast.expr | None, problems: Reasons) -> Parameter:
    name, value, rule = arg.arg, REQUIRED, Any
    if arg.annotation is None:
        problems.add(source, arg, name, f"needs a rule, as in {name}: Positive = 1.0")
    else:
        try:
            rule = rule_of(arg.annotation, source.resolve)
        except ValueError as error:
            problems.add(source, arg, name, str(error))
    if default is not None:
        try:
            value = literal(default)
        except ValueError:
            text = ast.unparse(default)
            problems.add(source, default, name, f"its default must be a literal, got {text}")
    return Parameter(name, value, rule)
