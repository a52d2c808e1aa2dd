"""Rules a component's parameters obey, written as annotations in its signature.

``def power(labels, num_classes, *, seed, q: NonNegative = 0.5)`` states the name, the default and the rule of
``q`` once; the configuration, ``longtail list`` and the registries all read it from there.
"""

from __future__ import annotations

import math
import re
import types
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt, Predicate

from longtail.stages.wording import as_written, bound_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import TypeAdapter

MOST = 10**9  # the limit of integers that have no lower one
LARGEST = 1e30  # of other numbers: single precision holds it


@dataclass(frozen=True)
class UpTo(GroupedMetadata):
    """A limit beyond all sensible use, which only a slip exceeds; only then does a message name it."""

    le: float

    def __iter__(self) -> Iterator[Le]:
        yield Le(self.le)


@dataclass(frozen=True)
class SpecOf:
    """Marks a parameter that is itself a component: a name or ``{name, ...parameters}``."""

    registry: str


@dataclass(frozen=True)
class Access:
    """Marks a parameter that says where data are, not which data they are: it is no part of an id."""

    words: str


@dataclass(frozen=True)
class Suffix:
    """Marks the parameter that is written into a component's name, after a slash: ``timm/resnet18``."""

    words: str


@dataclass(frozen=True)
class Words:
    """Says in words what a rule admits that a function decides."""

    words: str


def is_hex_colour(text: str) -> bool:
    """Whether `text` is a colour as ``#rrggbb``, six hexadecimal digits."""
    return re.fullmatch("#[0-9a-fA-F]{6}", text) is not None


Positive = Annotated[float, Gt(0), UpTo(LARGEST)]
NonNegative = Annotated[float, Ge(0), UpTo(LARGEST)]
Fraction = Annotated[float, Ge(0), Le(1)]
Share = Annotated[float, Gt(0), Le(1)]
Beta = Annotated[float, Ge(0), Lt(1)]
Count = Annotated[int, Ge(1), UpTo(MOST)]
Index = Annotated[int, Ge(0), UpTo(MOST)]
Seed = Annotated[int, Ge(0), UpTo(2**63 - 1)]
Epochs = Annotated[int, Ge(1), UpTo(10**6)]
BatchSize = Annotated[int, Ge(1), UpTo(10**6)]
Width = Annotated[int, Ge(1), UpTo(10**5)]  # of a layer
PictureSide = Annotated[int, Ge(1), UpTo(10**4)]  # pixels
HexColour = Annotated[str, Predicate(is_hex_colour), Words("a colour '#rrggbb'")]
Location = Annotated[str, Access("a path")]
Permission = Annotated[bool, Access("true or false")]
TimmModel = Annotated[str, Suffix("a model of timm, written as timm/resnet18")]
SamplerSpec = Annotated[str | dict, SpecOf("samplers")]
LossSpec = Annotated[str | dict, SpecOf("losses")]
WeightingSpec = Annotated[str | dict, SpecOf("weightings")]
ClassifierSpec = Annotated[str | dict, SpecOf("classifiers")]
ResamplerSpec = Annotated[str | dict, SpecOf("resamplers")]


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a setting: where, and which rule it broke with which value."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def under(self, prefix: str) -> Problem:
        """The same problem with its path below `prefix`."""
        return Problem(f"{prefix}.{self.path}" if self.path else prefix, self.message)


class Problems(ValueError):
    """Everything wrong with a group of settings, found in one pass."""

    def __init__(self, problems: list[Problem]):
        self.problems = list(problems)
        super().__init__("; ".join(str(p) for p in self.problems))


def wrong(parameter: str, message: str) -> Problems:
    """The error for a single parameter: ``raise wrong("root", "must be a folder")``.

    In a message the name of another parameter stands in backquotes, with the value it should get where that
    helps (```download=True```), so that the pipeline can put the configuration's name in its place.
    """
    return Problems([Problem(parameter, message)])


def alternatives(rule: Any) -> list[Any]:
    """Rules, of which a value must obey at least one: ``alternatives(int | None)`` is ``[int, NoneType]``."""
    if get_origin(rule) in (Union, types.UnionType):
        return [alternative for arg in get_args(rule) for alternative in alternatives(arg)]
    return [rule]


def _marks(rule: Any) -> tuple:
    return rule.__metadata__ if get_origin(rule) is Annotated else ()


def is_access(rule: Any) -> bool:
    """True for a parameter that says where data are, which is no part of a run's identity."""
    return any(isinstance(mark, Access) for alternative in alternatives(rule) for mark in _marks(alternative))


def is_suffix(rule: Any) -> bool:
    """True for the parameter that stands in a component's name, after a slash."""
    return any(isinstance(mark, Suffix) for mark in _marks(rule))


def spec_kind(rule: Any) -> str | None:
    """The registry (``"samplers"``...) a nested component comes from, or None for a plain value."""
    for alternative in alternatives(rule):
        for mark in _marks(alternative):
            if isinstance(mark, SpecOf):
                return mark.registry
    return None


_WORDS = {float: "a number", int: "an integer", str: "a string", bool: "true or false", type(None): "null"}


def _describe_one(rule: Any, limits: float) -> str:
    if get_origin(rule) is Annotated:
        base, *marks = get_args(rule)
        if any(isinstance(mark, SpecOf) for mark in marks):
            return "a name or {name, ...parameters}"
        bounds = []
        for mark in marks:
            if isinstance(mark, Access | Suffix | Words):
                return mark.words
            if isinstance(mark, UpTo) and mark.le > limits:
                continue
            for symbol, bound in ((">", "gt"), ("≥", "ge"), ("<", "lt"), ("≤", "le")):
                if hasattr(mark, bound):
                    bounds.append(f"{symbol} {bound_text(getattr(mark, bound))}")
        return f"{_WORDS[base]} {' and '.join(bounds)}".strip()
    if get_origin(rule) is Literal:
        return " or ".join("null" if value is None else str(value) for value in get_args(rule))
    if get_origin(rule) is list:
        return f"a list, each {describe_rule(get_args(rule)[0], limits=limits)}"
    return _WORDS.get(rule, str(rule))


def describe_rule(rule: Any, *, limits: float = 0) -> str:
    """A rule in words: ``describe_rule(Positive | None)`` is ``'a number > 0 or null'``.

    Of the limits that only a slip exceeds (:class:`UpTo`), those up to `limits` are named.
    """
    return " or ".join(_describe_one(alternative, limits) for alternative in alternatives(rule))


def broken_rule(rule: Any, value: Any) -> str:
    """``"must be <rule>, got <value>"``, the rule's limit included where that is what `value` breaks."""
    numbers = [n for n in (value if isinstance(value, list) else [value]) if isinstance(n, int | float)]
    exceeded = any(_is_limited_below(rule, n) for n in numbers if n != math.inf)
    return f"must be {describe_rule(rule, limits=math.inf if exceeded else 0)}, got {as_written(value)}"


def _is_limited_below(rule: Any, value: float) -> bool:
    """Whether a limit of `rule`, or of the entries of its list, is lower than `value`."""
    limits = []
    for alternative in alternatives(rule):
        entry = get_args(alternative)[0] if get_origin(alternative) is list else alternative
        limits += [mark.le for mark in _marks(entry) if isinstance(mark, UpTo)]
    return any(value > limit for limit in limits)


@cache
def _adapter(rule: Any) -> TypeAdapter:
    """The validator of a rule, made once: a sweep checks thousands of values."""
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(rule, config=ConfigDict(strict=True, allow_inf_nan=False))


def check_value(rule: Any, value: Any) -> Any:
    """`value` when it obeys `rule` (an int becomes a float where a float is asked for).

    Raises ValueError ``"must be <rule>, got <value>"``. Not a number and infinity obey no rule.
    Minus zero becomes zero, which it equals, so that both give one id.
    """
    from pydantic import ValidationError

    value = value.item() if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0 else value
    try:
        checked = _adapter(rule).validate_python(value)
    except ValidationError:
        raise ValueError(broken_rule(rule, value)) from None
    return checked + 0.0 if isinstance(checked, float) else checked
