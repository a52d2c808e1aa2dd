"""Rules read from annotations, as text: a small language that is walked, never evaluated.

An annotation is a rule of :mod:`longtail.stages.parameters` (``Positive``, ``LossSpec``), one of ``bool``,
``int``, ``float``, ``str``, ``dict``, ``Any`` and ``None``, ``Literal["a", 1]``, ``list[RULE]``,
``Annotated[RULE, Gt(0)]`` with bounds of annotated_types, or several of these joined by ``|``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_origin

from annotated_types import Ge, Gt, Le, Lt

from longtail.stages import parameters
from longtail.stages.registry.source import literal

PLAIN = {"bool": bool, "int": int, "float": float, "str": str, "dict": dict, "Any": Any}
BOUNDS = {"Ge": Ge, "Gt": Gt, "Le": Le, "Lt": Lt, "UpTo": parameters.UpTo}
RULES = {name: rule for name, rule in vars(parameters).items() if get_origin(rule) is Annotated}
HOMES = ("", "annotated_types", "builtins", "typing", "typing_extensions", parameters.__name__)

Resolve = Callable[[str], str]  # from a name in a file to the full one it was imported by


def rule_of_text(text: str) -> Any:
    """The rule that the text of an annotation stands for; ValueError when it is not one."""
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        raise ValueError(f"is not a rule, got {text!r}") from None
    return rule_of(node)


def rule_of(node: ast.expr, resolve: Resolve = str) -> Any:
    """The rule that an annotation stands for; ValueError naming the part of it that is not one."""
    match node:
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=str(text)):
            return rule_of_text(text)
        case ast.Name() | ast.Attribute():
            return _named(node, resolve)
        case ast.BinOp(op=ast.BitOr()):
            return _union(node, resolve)
        case ast.Subscript(value=ast.Name() | ast.Attribute()):
            return _subscripted(node, resolve)
    raise _not_a_rule(node)


def _name(node: ast.expr, resolve: Resolve) -> str:
    """What a plain or dotted name is called where it is defined; empty where no rules are defined."""
    home, _, name = resolve(ast.unparse(node)).rpartition(".")
    return name if home in HOMES else ""


def _named(node: ast.expr, resolve: Resolve) -> Any:
    name = _name(node, resolve)
    for known in (RULES, PLAIN):
        if name in known:
            return known[name]
    raise _not_a_rule(node)


def _union(node: ast.BinOp, resolve: Resolve) -> Any:
    try:
        return rule_of(node.left, resolve) | rule_of(node.right, resolve)
    except TypeError:  # of None | None
        raise _not_a_rule(node) from None


def _subscripted(node: ast.Subscript, resolve: Resolve) -> Any:
    name = _name(node.value, resolve)
    arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        try:
            return Literal[tuple(literal(argument) for argument in arguments)]
        except ValueError:
            raise _not_a_rule(node) from None
    if name == "list" and len(arguments) == 1:
        return list[rule_of(arguments[0], resolve)]
    if name == "Annotated" and len(arguments) > 1:
        return Annotated[(rule_of(arguments[0], resolve), *(_bound(mark, resolve) for mark in arguments[1:]))]
    raise _not_a_rule(node)


def _bound(node: ast.expr, resolve: Resolve) -> Any:
    """``Gt(0)`` and its like, of a literal number."""
    match node:
        case ast.Call(func=ast.Name() | ast.Attribute(), args=[limit], keywords=[]):
            bound = BOUNDS.get(_name(node.func, resolve))
            if bound is not None and isinstance(limit, ast.Constant):
                return bound(limit.value)
    raise _not_a_rule(node)


def _not_a_rule(node: ast.expr) -> ValueError:
    return ValueError(
        f"{ast.unparse(node)} is not a rule; take one of {parameters.__name__}, such as Positive, Count or "
        "Fraction, or bool, int, float, str, Literal[...], None"
    )
