"""What a user says of how the pictures of a folder are read, before a configuration is proposed for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from longtail.pipeline.config.components import registry
from longtail.pipeline.config.loading import check_config
from longtail.pipeline.config.recipes import merge, parse_override
from longtail.pipeline.errors import ConfigError
from longtail.stages.parameters import Problem
from longtail.stages.wording import listed


def given_settings(folder: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The parameters of ``image_folder`` that ``data.KEY=VALUE`` overrides set, `root` aside, checked.

    Raises ConfigError for a value that breaks its rule, and for any other setting.
    """
    known = registry("datasets")
    own = [
        key
        for key in known.describe("image_folder").parameters
        if key not in (*known.shared.parameters, "root")
    ]
    settings: dict[str, Any] = {}
    for override in overrides:
        settings = merge(settings, parse_override(override))
        key = override.partition("=")[0].strip()
        if key not in [f"data.{name}" for name in own]:
            takes = listed([f"data.{name}" for name in own], len(own))
            rule = f"set it in the file that is written, or in each run; here FOLDER may be read by {takes}"
            raise ConfigError([Problem(key, rule)])
    given = settings.get("data", {})
    check_config({"data": {"name": "image_folder", "root": folder, **given}})
    return given
