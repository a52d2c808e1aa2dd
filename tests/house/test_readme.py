"""The README says what the program does: tables, verbs and examples are checked against it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.pipeline.cli import cli
from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.components import KINDS
from longtail.pipeline.config.loading import load_config
from longtail.pipeline.config.recipes import shipped, shipped_folder
from longtail.pipeline.config.sections import AugmentSection
from longtail.pipeline.tables.listing import listing
from longtail.stages.parameters import describe_rule
from tests.pipeline.verbs.test_cli import ok
from tests.places import CHECKOUT

README = CHECKOUT / "README.md"
BLOCK = r"(<!-- longtail list {} --format markdown -->\n)(.*?)(<!-- end -->)"


def text() -> str:
    return README.read_text(encoding="utf-8")


def refreshed() -> str:
    """The README with its component tables as the registries have them now."""
    found = text()
    for kind in KINDS:
        table = listing(kind, "markdown")
        found = re.sub(
            BLOCK.format(kind), lambda m, table=table: f"{m[1]}{table}\n{m[3]}", found, flags=re.DOTALL
        )
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_component_tables_are_those_of_the_registries(kind):
    block = re.search(BLOCK.format(kind), text(), re.DOTALL)
    assert block is not None, "python -m tests.house.test_readme refreshes the tables"
    assert block[2].strip() == listing(kind, "markdown")


def test_every_verb_stands_in_the_verb_table():
    rows = re.findall(r"^\| `(\w+)` \|", text().split("| verb | does |")[1].split("\n\n")[0], re.MULTILINE)
    assert sorted(rows) == sorted(cli.commands)


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_verb_has_help_with_an_example(name):
    assert "Example: longtail" in cli.commands[name].load().help


def test_every_recipe_has_a_row_in_the_recipe_table():
    table = (shipped_folder() / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\S+)` \|", table, re.MULTILINE)) == sorted(shipped())


def test_augment_table_has_every_setting_with_its_rule_and_default():
    table = text().split("| key | value | default | meaning |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.split(" | ")] for line in table.splitlines()[2:]]
    assert [[row[0].strip("`| "), row[1], row[2]] for row in rows] == [
        [name, describe_rule(field.rebuild_annotation()), json.dumps(field.default)]
        for name, field in AugmentSection.model_fields.items()
    ]
    assert all(len(row[3].split()) > 5 for row in rows)


def test_the_configuration_shown_is_the_digits_recipe(tmp_path):
    block = re.search(r"## Configuration\n\n```yaml\n(.*?)```", text(), re.DOTALL)[1]
    path = tmp_path / "shown.yaml"
    path.write_text(block, encoding="utf-8")
    assert load_config(str(path)).minimal() == load_config("digits_lt").minimal()


def shipping() -> str:
    """The section on prediction and export, whose examples need a finished run."""
    return text().split("## Predict and export\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(
    "example", re.findall(r"```python\n(.*?)```", text().replace(shipping(), ""), re.DOTALL)
)
def test_python_examples_run(example, capsys):
    exec(compile(example, "README.md", "exec"), {})


def test_prediction_and_export_run_as_written(tmp_path, monkeypatch, capsys):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="the extra `export` is not installed")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for label, place in (("ant", "pictures/ant"), ("bee", "pictures/bee"), ("", "new")):
        folder = tmp_path / "path/to" / place
        folder.mkdir(parents=True)
        for name in "abcdefghijkl" if label else "a":
            dark = rng.integers(0, 120, (24, 24, 3), np.uint8) + (100 if label == "bee" else 0)
            Image.fromarray(dark.astype(np.uint8)).save(folder / f"{name}.png")
    ok("init", "path/to/pictures")
    small = strict_yaml.load(Path("pictures.yaml").read_text(encoding="utf-8"))
    small["representation"] |= {"backbone": "small_cnn", "epochs": 1}
    small |= {"classifiers": ["joint", "crt"], "system": {"threads": 1, "device": "cpu"}}
    Path("pictures.yaml").write_text(strict_yaml.dump(small), encoding="utf-8")
    ok("run", "pictures.yaml")
    block = re.search(r"```sh\n(.*?)```", shipping(), re.DOTALL)[1]
    said = [ok(*shlex.split(line, comments=True)[1:]).out for line in block.splitlines()]
    assert "path/to/new/a.png" in said[0]
    (told,) = json.loads(said[1])
    assert len(told["predictions"]) == 2 and told["path"] == "path/to/new/a.png"
    assert said[2].startswith("written: model.onnx (crt ")
    exec(re.search(r"```python\n(.*?)```", shipping(), re.DOTALL)[1], {})
    assert capsys.readouterr().out.strip() == told["predictions"][0]["class"]


def test_commands_shown_parse():
    """Every `longtail` line of the README names verbs and recipes that exist."""
    lines = re.findall(r"^longtail (.*?)(?:  +#.*)?$", text(), re.MULTILINE)
    assert len(lines) >= 8
    written = set()  # by init, which names a file after its folder
    for line in lines:
        verb, _, rest = line.partition(" ")
        assert verb in cli.commands, line
        first = rest.split()[0] if rest.split() else "--"
        if verb == "init":
            written.add(f"{first.rpartition('/')[2]}.yaml")
        else:
            assert first.startswith("--") or first in {*shipped(), *written}, line


if __name__ == "__main__":
    README.write_text(refreshed(), encoding="utf-8")
