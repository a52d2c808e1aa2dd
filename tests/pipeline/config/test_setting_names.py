"""Errors of components, as a user of the command line reads them."""

from __future__ import annotations

import warnings

import pytest

from longtail.pipeline.config.components import registry
from longtail.pipeline.config.setting_names import data_settings, in_settings, settings_named
from longtail.pipeline.store.store import Store
from longtail.stages.parameters import Problem, Problems, wrong

NAMES = {"root": "data.root", "download": "data.download", "workers": "system.workers"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set `root=FOLDER` or `download=True`", "set data.root=FOLDER or data.download=true"),
        ("set `download='skip'`, `root=None`", "set data.download=skip, data.root=null"),
        ("fewer `workers` need less", "fewer system.workers need less"),
        (
            "`other=1` and `longtail run` and root=FOLDER stay",
            "`other=1` and `longtail run` and root=FOLDER stay",
        ),
    ],
)
def test_parameters_in_backquotes_become_settings(text, expected):
    assert in_settings(text, NAMES) == expected


def test_every_problem_is_under_its_setting():
    problems = [Problem("root", "is gone"), Problem("workers.0", "is odd"), Problem("", "set `root=FOLDER`")]
    with pytest.raises(Problems) as caught, settings_named(NAMES):
        raise Problems(problems)
    expected = ["data.root: is gone", "system.workers.0: is odd", "set data.root=FOLDER"]
    assert [str(problem) for problem in caught.value.problems] == expected


class Special(ValueError):
    """An error that somebody may wait for by its type."""

    def __init__(self, text: str):
        super().__init__(text)


@pytest.mark.parametrize("kind", [ValueError, ChildProcessError, Special])
def test_other_errors_keep_their_type(kind):
    with pytest.raises(kind, match=r"^fewer system\.workers$"), settings_named(NAMES):
        raise kind("fewer `workers`")
    with pytest.raises(kind, match=r"^nothing to rename$"), settings_named(NAMES):
        raise kind("nothing to rename")


def test_warnings_name_settings_and_keep_their_type():
    with pytest.warns(FutureWarning, match=r"^fewer system\.workers$"), settings_named(NAMES):
        warnings.warn("fewer `workers`", FutureWarning, stacklevel=1)
    with pytest.warns(UserWarning, match="^fewer `workers`$"):  # the block is over
        warnings.warn("fewer `workers`", UserWarning, stacklevel=1)


@pytest.mark.parametrize("name", registry("datasets").names())
def test_every_parameter_of_a_data_set_is_a_setting(name):
    settings = data_settings(name)
    assert {f"data.{key}" for key in registry("datasets").describe(name).parameters} <= {*settings.values()}
    assert settings["meta_per_class"] == "representation.reweighting"


def test_a_data_set_names_its_keyword_and_the_store_its_setting(tmp_path):
    gone = {"root": str(tmp_path / "gone")}
    with pytest.raises(ValueError, match=r"^root: no CIFAR10 .*`root=FOLDER` .*`download=True`"):
        registry("datasets").sources("cifar10", gone)
    with pytest.raises(
        ValueError, match=r"^data\.root: no CIFAR10 .* data\.root=FOLDER .* data\.download=true "
    ):
        Store(tmp_path).data_look("cifar10", gone)
    with pytest.raises(Problems, match=r"^max_count: the profile asks for 5000 training samples"):
        registry("datasets").create("digits", profile="exponential", max_count=5000, imbalance_factor=10)
    assert str(wrong("root", "is gone")) == "root: is gone"
