"""Stages name their own parameters; where those stand in a configuration is the pipeline's business."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from longtail.pipeline.config.components import registry
from longtail.pipeline.config.sections import Evaluation, FeatureSettings, Representation, System
from tests.house.imports import module_name, sources

SECTIONS = {
    "representation": set(Representation.model_fields),
    "features": set(FeatureSettings.model_fields),
    "evaluation": set(Evaluation.model_fields),
    "system": set(System.model_fields),
    "data": {"name"}.union(
        *(registry("datasets").describe(n).parameters for n in registry("datasets").names())
    ),
}
SETTING = re.compile(
    "|".join(rf"(?<![\w.]){section}\.(?:{'|'.join(sorted(keys))})\b" for section, keys in SECTIONS.items())
)


def settings_in(source: str) -> list[str]:
    """Settings with their section that string literals of Python text name, docstrings included."""
    literals = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return [setting for text in literals if isinstance(text, str) for setting in SETTING.findall(text)]


@pytest.mark.parametrize("path", sources("stages"), ids=module_name)
def test_no_text_in_stages_names_a_setting_with_its_section(path: Path):
    assert settings_in(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "settings"),
    [
        ("raise ValueError('data.root: must be a folder')", ["data.root"]),
        ("f'{x}; set data.unreadable=skip or lower system.workers'", ["data.unreadable", "system.workers"]),
        ('def f():\n    """Weights come with ``representation.weights``."""', ["representation.weights"]),
        ("'longtail.stages.data.seed', 'data.nothing', 'metadata.seed', 'the data. Seed'", []),
    ],
)
def test_settings_are_noticed_in_any_literal(source, settings):
    assert settings_in(source) == settings
