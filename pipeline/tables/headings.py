"""Headings of tables: the settings that their records share, and those in which they differ from others."""

from __future__ import annotations

from collections.abc import Sequence

from longtail.pipeline.store.parameter_text import component_text, value_text
from longtail.pipeline.store.result import Parameters, Result
from longtail.pipeline.tables.records import Record
from longtail.stages.wording import counted, printable

Differing = dict[str, dict[str, dict[str, str]]]  # {data set: {setting: {value: in words}}}


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
    values: Differing = {}
    for result in results:
        known = values.setdefault(result.settings.data, {})
        for key, value in _further_settings(result).items():
            words, text = known.setdefault(key, {}), str(value)
            if text not in words:
                words[text] = printable(value_text(value))
    return {
        data: {key: _last_parts(words) for key, words in known.items() if len(words) > 1}
        for data, known in values.items()
    }


def differing_words(result: Result, differing: Differing) -> list[str]:
    """``setting=value`` of a result for those of the :func:`differing_settings` that it has."""
    own = _further_settings(result)
    settings = differing.get(result.settings.data, {})
    return [f"{key}={words[str(own[key])]}" for key, words in settings.items() if key in own]


def _further_settings(result: Result) -> Parameters:
    """Settings by dotted name; the key of a component has its name, or None without a component."""
    return {key.removesuffix(".name"): value for key, value in result.settings.all.items()}


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
