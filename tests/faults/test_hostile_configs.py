"""Configurations made to do harm: none runs code, none hangs, each gets one line and a status."""

from __future__ import annotations

import pytest

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.errors import ConfigError
from tests.counted_work import at_most
from tests.faults.processes import assert_one_line_error, run

TAGS = {
    "apply": "!!python/object/apply:os.system ['touch {canary}']",
    "new": "!!python/object/new:os.system ['touch {canary}']",
    "object": "!!python/object:subprocess.Popen {{args: [touch, {canary}]}}",
    "name": "!!python/name:os.system",
    "module": "!!python/module:os",
    "tuple": "!!python/tuple [1, 2]",
    "own": "!run 'touch {canary}'",
    "verbatim": "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch {canary}']",
}


@pytest.mark.parametrize("where", ["seed: {}", "data: {{name: {}}}", "{}: 1"])
def test_yaml_tags_run_nothing(survey, tmp_path, where):
    def check(kind: str) -> None:
        canary = tmp_path / "canary"
        with pytest.raises(ConfigError, match=r"tags are not allowed|expected"):
            strict_yaml.load(where.format(TAGS[kind].format(canary=canary)))
        assert not canary.exists()

    survey("YAML tag", TAGS, check)


def laughs(width: int, depth: int) -> str:
    """`width` to the power of `depth` values in a few lines."""
    lines = ["a0: &a0 [" + ", ".join(["lol"] * width) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * width) + "]" for n in range(1, depth)]
    return "\n".join(lines)


BOMBS = {  # and the function calls each may take: about four times what it does
    "billion laughs": (laughs(9, 9), 10**6),
    "few aliases, deep": (laughs(2, 45), 10**6),
    "wide": (laughs(33, 3), 10**6),
    "an alias to itself": ("a: &a [*a]", 5000),
    "two megabytes": ("a: " + "x" * 2**21, 100),
    "deep lists": ("[" * 50_000, 150_000),
    "deep blocks": ("\n".join(" " * n + "a:" for n in range(2000)), 100),
    "a long number": ("seed: " + "9" * 100_000, 10**6),
    "many documents": ("--- 1\n" * 50_000, 15 * 10**6),
}


def test_yaml_bombs_are_refused_with_little_work(survey):
    def check(kind: str) -> None:
        text, calls = BOMBS[kind]
        with pytest.raises(ConfigError) as caught, at_most(calls):
            strict_yaml.load(text)
        assert len(str(caught.value)) < 500

    survey("YAML bomb", BOMBS, check)


def test_hostile_configuration_gets_one_line_and_status_two(survey, tmp_path):
    texts = {kind: f"seed: {tag.format(canary=tmp_path / 'canary')}" for kind, tag in TAGS.items()}
    texts |= {kind: text for kind, (text, _) in BOMBS.items()}
    chosen = ("apply", "verbatim", "billion laughs")

    def check(kind: str) -> None:
        path = tmp_path / "hostile.yaml"
        path.write_text(texts[kind])
        assert_one_line_error(run(tmp_path / "root", ["run", path]), 2)
        assert not (tmp_path / "canary").exists() and not (tmp_path / "root").exists()

    survey("hostile configuration, command line", chosen, check)
