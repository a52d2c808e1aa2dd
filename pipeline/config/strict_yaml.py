"""YAML 1.2's core schema and nothing else: no tags, no duplicate keys, no bombs.

``1e-3`` is a number and ``no`` a string; nothing a file says makes code run.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from longtail.pipeline.errors import ConfigError
from longtail.stages.wording import excerpt

MOST_BYTES = 2**20
MOST_ALIASES = 100
MOST_VALUES = 20_000
MOST_DEPTH = 100  # the scanner's time grows with the square of the depth
MOST_KEY = 500  # characters; messages name keys in full
MOST_DIGITS = 1000  # Python refuses to print an integer of more than 4,300

_PLAIN = (
    (re.compile(r"(~|null|Null|NULL|)\Z"), lambda text: None),
    (re.compile(r"(true|True|TRUE)\Z"), lambda text: True),
    (re.compile(r"(false|False|FALSE)\Z"), lambda text: False),
    (re.compile(r"[-+]?[0-9]+\Z"), int),
    (re.compile(r"0o[0-7]+\Z"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+\Z"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z"), float),
    (re.compile(r"[-+]?(\.inf|\.Inf|\.INF)\Z"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"(\.nan|\.NaN|\.NAN)\Z"), lambda text: float("nan")),
)


def load(text: str, source: str = "") -> Any:
    """The one document in `text`, as dicts with string keys, lists, strings, numbers, booleans and None.

    Raises ConfigError naming `source`, line and rule.
    """
    try:
        if len(text.encode(errors="surrogatepass")) > MOST_BYTES:
            raise ConfigError(f"must be at most {MOST_BYTES} bytes", source)
        _refuse_tags_and_bombs(text, source)
        return _Builder(source).build(yaml.compose(text, yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problem = excerpt(" ".join(str(getattr(error, "problem", None) or error).split()), 100)
        raise ConfigError(f"{where}{problem}", source) from None
    except RecursionError:
        raise ConfigError("is nested too deeply", source) from None


def _refuse_tags_and_bombs(text: str, source: str) -> None:
    aliases = values = depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        line = event.start_mark.line + 1
        if getattr(event, "tag", None) is not None:
            raise ConfigError(f"line {line}: tags are not allowed, got {excerpt(event.tag)}", source)
        aliases += isinstance(event, yaml.AliasEvent)
        if aliases > MOST_ALIASES:
            raise ConfigError(f"line {line}: more than {MOST_ALIASES} aliases", source)
        values += isinstance(event, yaml.NodeEvent)
        if values > MOST_VALUES:
            raise ConfigError(f"line {line}: more than {MOST_VALUES} values", source)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise ConfigError(f"line {line}: nested more than {MOST_DEPTH} deep", source)


class _Builder:
    def __init__(self, source: str):
        self.source, self.values, self.open = source, 0, set()

    def build(self, node: yaml.Node | None) -> Any:
        if node is None:
            return None
        self.values += 1
        line = node.start_mark.line + 1
        if self.values > MOST_VALUES:
            raise ConfigError(
                f"line {line}: more than {MOST_VALUES} values once aliases are expanded", self.source
            )
        if isinstance(node, yaml.ScalarNode):
            try:
                return _scalar(node)
            except ValueError as error:
                raise ConfigError(f"line {line}: {error}", self.source) from None
        if id(node) in self.open:
            raise ConfigError(f"line {line}: an alias contains itself", self.source)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(child) for child in node.value]
            return self._mapping(node)
        finally:
            self.open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = self.build(key_node), key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise ConfigError(f"line {line}: keys must be strings, got {excerpt(repr(key))}", self.source)
            if len(key) > MOST_KEY:
                raise ConfigError(f"line {line}: a key must have at most {MOST_KEY} characters", self.source)
            if key in values:
                raise ConfigError(f"line {line}: duplicate key {excerpt(repr(key))}", self.source)
            values[key] = self.build(value_node)
        return values


def _scalar(node: yaml.ScalarNode) -> Any:
    if node.style is None:
        for pattern, convert in _PLAIN:
            if pattern.match(node.value):
                if len(node.value) > MOST_DIGITS:
                    raise ValueError(f"a number must have at most {MOST_DIGITS} digits")
                return convert(node.value)
    return node.value


def dump(value: Any) -> str:
    """`value` as block YAML that :func:`load` reads back to the same."""
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100
    )


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_str(dumper: _Dumper, text: str) -> yaml.Node:
    style = "'" if any(pattern.match(text) for pattern, _ in _PLAIN) else None
    if re.search("[\x85\u2028\u2029]", text):  # line breaks to YAML 1.1: folded unless escaped
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_str)
