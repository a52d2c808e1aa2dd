"""A first configuration for a folder of pictures, each choice with its reason."""

from __future__ import annotations

import logging
import os
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.components import registry
from longtail.pipeline.config.loading import Config, check_config
from longtail.pipeline.config.setting_names import data_settings, in_settings
from longtail.pipeline.files.outputs import output_path
from longtail.pipeline.files.publish import publish_bytes
from longtail.pipeline.init.given import given_settings
from longtail.pipeline.init.proposal import Choice, propose
from longtail.pipeline.init.survey import Survey, survey_folder
from longtail.pipeline.work.checked_set import MOST_BYTES, picture_findings
from longtail.pipeline.work.class_chart import chart
from longtail.stages.data.files.user_path import user_path
from longtail.stages.data.pictures.flat_pictures import flat_sample
from longtail.stages.data.set_check import check_sizes, without_samples
from longtail.stages.wording import printable

log = logging.getLogger("longtail")


def write_first_config(
    folder: str, output: str | None = None, overrides: Sequence[str] = (), *, force: bool = False
) -> str:
    """Write a configuration for `folder` to `output`, by default its name in the working directory.

    `overrides` are ``data.KEY=VALUE`` that say how the pictures are read (see :func:`given_settings`).

    Returns class counts and the next command, for a terminal. LongtailError when the file exists (unless
    `force`), ValueError when the folder holds no classes with pictures.
    """
    name = Path(os.path.abspath(user_path(folder))).name or "pictures"  # of a link its own name
    path = user_path(output or f"{name}.yaml")
    written = partial(
        output_path, path, "a configuration", force=force, way_out=", --output FILE writes elsewhere"
    )
    written()
    given = given_settings(folder, overrides)
    survey = survey_folder(folder, given)
    sections, counts = propose(folder, survey, given)
    settings = {name: {c.key: c.value for c in choices} for name, choices in sections.items()}
    config = check_config(settings, str(path))
    named = str(path) if not str(path).startswith("-") else f"./{path}"  # no option
    command = f"longtail run {shlex.quote(named)}"
    publish_bytes(written(), to_yaml(sections, command, folder, survey).encode())
    _warn_of_set(config)
    _warn_of_sizes(counts)
    train = counts["train"]
    sizes = {"validation": sum(counts["val"].values()), "test": sum(counts["test"].values())}
    counts_drawn = chart(list(train), list(train.values()), **sizes, **settings["evaluation"])
    return f"{counts_drawn}\nwritten: {path}\nnext: {command}"


def to_yaml(sections: dict[str, list[Choice]], command: str, folder: str, survey: Survey) -> str:
    """The proposal as YAML, a comment before each choice that has a reason."""
    train = survey.counts["train"].values()
    head = [
        command,
        f"{survey.total} pictures below {folder}; {max(train)} … {min(train)} of each of {len(train)} classes"
        + (" to train on." if len(survey.counts) > 1 else "."),
        "Proposed from counts and picture sizes, not yet measured; every line may be changed.",
    ]
    lines = [_comment(line, "") for line in head]
    for section, choices in sections.items():
        lines.append(f"{section}:")
        for choice in choices:
            if choice.why:
                lines.append(_comment(choice.why, "  "))
            lines.append(textwrap.indent(strict_yaml.dump({choice.key: choice.value}).rstrip("\n"), "  "))
    return "\n".join(lines) + "\n"


def _comment(text: str, indent: str) -> str:
    # A folder's name may hold line breaks, and YAML's are more than Python's textwrap knows.
    text, mark = printable(text), f"{indent}# "
    return textwrap.fill(text, 110, initial_indent=mark, subsequent_indent=mark, break_long_words=False)


def _warn_of_set(config: Config) -> None:
    """Warn of copies across parts and classes, of classes whose names are one, and of pictures of nothing."""
    data, known = config.data, registry("datasets")
    settings = data.full()
    pictures = known.pictures(data.name, dict(data.params))
    paths = [path for paths, _ in pictures.parts.values() for path in paths]
    reading = {key: settings[key] for key in ("mode", "background", "max_pixels")}
    for line in flat_sample(user_path(pictures.root), paths, reading):
        log.warning("%s", in_settings(line, data_settings(data.name)))
    for finding in picture_findings(pictures, settings, most=MOST_BYTES):
        log.warning("%s", finding)


def _warn_of_sizes(counts: Mapping[str, Mapping[str, int]]) -> None:
    """Warn of classes without test pictures, and of so few that accuracies say little."""
    empty = [name for name, count in counts["test"].items() if not count]
    if empty:
        log.warning("%s", without_samples("test", empty))
    by_part = {part: list(counts[part].values()) for part in ("val", "test")}
    for finding in check_sizes(by_part, list(counts["test"])):
        log.warning("%s", finding)
