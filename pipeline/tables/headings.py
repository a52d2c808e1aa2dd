"""Headings of tables: the settings that their records share, and those in which they differ from others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from longtail.pipeline.store.parameter_text import component_text, value_text
from longtail.pipeline.store.result import Result
from longtail.pipeline.tables.records import Record
from longtail.stages.wording import counted, printable

Differing = dict[str, dict[str, dict[str, str]]]  # {data set: {setting: {value: in words}}}
NAME = ".name"


def grouped(records: Sequence[Record]) -> list[tuple[str, list[Record]]]:
    """Records on the same features, each group under a title that no other group has."""
    differing = differing_settings([record.result for record in records])
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((heading(record, differing), record.result.features), []).append(record)
    return [(title, members) for (title, _), members in groups.items()]


def differing_settings(results: Sequence[Result]) -> Differing:
    """Settings in which results on the same data set differ: ``{data set: {setting: {value: in words}}}``.

    Paths are shortened to their last parts where these differ as well.
    """
    values: dict[str, dict[str, dict[str, Any]]] = {}  # {data set: {key: {value as text: value}}}
    for result in results:
        known = values.setdefault(result.settings.data, {})
        for key, value in result.settings.all.items():
            known.setdefault(key, {}).setdefault(str(value), value)
    return {data: _in_words(known) for data, known in values.items()}


def differing_words(result: Result, differing: Differing) -> list[str]:
    """``setting=value`` of a result for those of the :func:`differing_settings` that it has."""
    own, words = result.settings.all, []
    for setting, of in differing.get(result.settings.data, {}).items():
        key = setting if setting in own else setting + NAME
        if key in own:
            words.append(f"{setting}={of[str(own[key])]}")
    return words


def _in_words(known: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Those of the settings ``{key: {value as text: value}}`` that have several values, in words.

    The key of a component's name ends in ``.name``; where there is no component it does not, and has None.
    """
    settings: dict[str, dict[str, Any]] = {}
    for key, of in known.items():
        settings.setdefault(key.removesuffix(NAME), {}).update(of)
    return {
        setting: _last_parts({text: printable(value_text(value)) for text, value in of.items()})
        for setting, of in settings.items()
        if len(of) > 1
    }


def _last_parts(words: dict[str, str]) -> dict[str, str]:
    short = {text: word.rstrip("/").rpartition("/")[2] for text, word in words.items()}
    return short if len(set(short.values())) == len(short) else words


def heading(record: Record, differing: Differing) -> str:
    """What the records of one table have in common; `differing` are settings that others have otherwise."""
    result, settings = record.result, record.result.settings
    components = (settings.backbone, settings.sampler, settings.loss)
    parts = [settings.data, *(component_text(c) for c in components if c is not None)]
    if settings.epochs is not None:
        of = f"{settings.reached} of " if settings.reached not in (None, settings.epochs) else ""
        parts.append(of + counted(settings.epochs, "epoch"))
    if settings.checkpoint == "best":
        parts.append("best epoch")
    if settings.dtype != "float32":
        parts.append(settings.dtype)
    if settings.views:
        parts.append(counted(settings.views, "view"))
    parts += differing_words(result, differing)
    parts.append(seeds_text(result))
    parts.append(result.representation or f"features {result.features}")
    if result.chosen_on_test:
        parts.append("chosen on test (protocol paper)")
    return " · ".join([*parts, f"{record.split} accuracy in %"])


def seeds_text(result: Result) -> str:
    """``seed 0``, and the data seed where it is not 0."""
    return f"seed {result.seed}" + (f", data seed {result.data_seed}" if result.data_seed else "")
