"""Finding a configuration file, following its ``base:`` and applying overrides, before any validation."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.errors import ConfigError
from longtail.stages.data.files.regular_file import UnreadableFile, read_text, require_regular
from longtail.stages.registry import did_you_mean
from longtail.stages.wording import file_kind

KEYS = (
    "base", "seed", "data", "representation", "features", "classifiers", "sweep", "ablation", "evaluation",
    "system",
)  # fmt: skip
AS_WRITTEN = {"representation.init"}  # an id of digits alone is no number


def shipped_folder() -> Path:
    """Where the package's own recipes lie, in a checkout and in a wheel alike."""
    return Path(str(files("longtail.configs")))


def shipped() -> list[str]:
    """Names of the shipped recipes, sorted."""
    folder = shipped_folder()
    return sorted(p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.yaml"))


def find(reference: str) -> Path:
    """The file `reference` names: a path, or a shipped recipe with or without ``configs/`` and ``.yaml``."""
    path = Path(reference)
    if path.is_file():
        return path
    name = path.as_posix().removeprefix("configs/").removesuffix(".yaml")
    if name in shipped():
        return shipped_folder() / f"{name}.yaml"
    if os.path.lexists(path):
        try:
            hint = f"; it is {file_kind(os.stat(path).st_mode)}"
        except OSError:
            hint = "; it is a link to nothing"
    else:
        hint = did_you_mean(name, shipped(), otherwise="longtail list configs names the recipes")
    raise ConfigError(f"no such configuration file or recipe{hint}", reference)


def read_settings(reference: str, overrides: Iterable[str] = ()) -> tuple[dict[str, Any], str]:
    """The merged, unvalidated settings and the name to call them by in messages."""
    settings = _read(find(reference), ())
    for override in overrides:
        settings = merge(settings, parse_override(override))
    return settings, reference


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    path = path.resolve()
    if path in seen:
        chain = " → ".join(p.name for p in (*seen, path))
        raise ConfigError(f"base: a cycle ({chain})", path.name)
    try:
        text = read_text(path, strict_yaml.MOST_BYTES)
    except UnreadableFile as error:
        raise ConfigError(error.reason, str(path)) from None
    settings = strict_yaml.load(text, path.name)
    _refuse_other_files(settings, path.name)
    base = settings.pop("base", None)
    if base is None:
        return merge({}, settings)
    if not isinstance(base, str):
        raise ConfigError(f"base: must be a path, got {base!r}", path.name)
    try:
        require_regular(path.parent / base)
    except UnreadableFile as error:
        raise ConfigError(f"base: {error.reason}, got {base!r}", path.name) from None
    return merge(_read(path.parent / base, (*seen, path)), settings)


def _refuse_other_files(content: Any, name: str) -> None:
    """ConfigError unless `content` may be settings; another kind of file is not quoted in messages."""
    if not isinstance(content, dict):
        got = {type(None): "holds nothing", list: "holds a list"}.get(type(content), "holds text or a number")
        raise ConfigError(f"must be a mapping of settings, {got}", name)
    known = sum(key in KEYS for key in content)
    if len(content) - known > max(known, 1):
        raise ConfigError(
            f"must be a mapping of settings ({', '.join(KEYS)}); of its {len(content)} keys {known} are", name
        )


def parse_override(text: str) -> dict[str, Any]:
    """``a.b=1`` as ``{"a": {"b": 1}}``, the value read by the strict loader (an id as it is written)."""
    key, equals, value = text.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        raise ConfigError(f"an override must be KEY=VALUE with a dotted key, got {text!r}")
    if len(steps) - 1 > strict_yaml.MOST_DEPTH:
        raise ConfigError(
            f"an override's key must have at most {strict_yaml.MOST_DEPTH} dots, got {len(steps) - 1}"
        )
    setting = strict_yaml.load(value, key)
    if key.strip() in AS_WRITTEN and setting is not None:
        setting = value
    for step in reversed(steps):
        setting = {step: setting}
    return setting


def is_set(settings: Any, path: str) -> bool:
    """Whether `settings` name something under a dotted path."""
    for step in path.split("."):
        if not isinstance(settings, dict) or step not in settings:
            return False
        settings = settings[step]
    return True


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`: mappings merge deeply, lists replace, None takes a setting back to its default.

    A component whose name changes keeps none of the base's parameters.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merge_mapping(below, value)
        elif isinstance(value, str) and isinstance(below, dict) and below.get("name") == value:
            pass  # the same component, its parameters stay
        else:
            merged[key] = value
    return merged


def _merge_mapping(below: Any, value: dict[str, Any]) -> dict[str, Any]:
    if isinstance(below, str):
        below = {"name": below}
    if not isinstance(below, dict) or ("name" in value and value["name"] != below.get("name")):
        below = {}
    return merge(below, value)
