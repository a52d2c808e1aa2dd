"""The registry: what it reads from source text, what it refuses, and what the components promise to it."""

import inspect
import subprocess
import sys
import textwrap
from typing import Any, Literal

import numpy as np
import pytest

from longtail.pipeline.config.components import KINDS, registry
from longtail.stages.parameters import (
    Beta,
    Count,
    Fraction,
    Index,
    Location,
    LossSpec,
    NonNegative,
    Permission,
    Positive,
    Problem,
    Problems,
    SamplerSpec,
    check_value,
    describe_rule,
    is_access,
    spec_kind,
)
from longtail.stages.registry import REQUIRED, Parameter, Registry, did_you_mean, signature_parameters
from longtail.stages.registry.outside import LostComponentWarning
from longtail.stages.wording import as_written

COMPONENTS = [(kind, name) for kind in KINDS for name in registry(kind).names()]
every_component = pytest.mark.parametrize(("kind", "name"), COMPONENTS)

SOURCE = '''
"""Spices."""

from longtail.stages.parameters import Count, NonNegative, Positive
from longtail.stages.registry.outside import LostComponentWarning
from longtail.stages.wording import as_written
from {package} import SPICES


@SPICES.register("paprika", sweet=True)
@SPICES.register("chili")
class Chili:
    """Hot.

    Longer words.

    Source: Columbus
    1493.

    Not this.
    """

    def __init__(self, dish, *, heat: Positive = 2.0, pods: Count, sweet: bool = False, seed=None):
        self.dish, self.heat, self.pods, self.sweet, self.seed = dish, heat, pods, sweet, seed


@SPICES.register("salt")
def salt(*, grams: NonNegative | None = None):
    """Salty."""
    return grams


@SPICES.register("nothing")
class Nothing:
    pass
'''


@pytest.fixture
def spices(tmp_path, monkeypatch, request):
    """A registry over a package written for the test, with a plain sibling and a private one."""
    package = f"spices_{abs(hash(request.node.name))}"
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from longtail.stages.registry import Registry\n"
        f'SPICES = Registry("spice", "SPICES", "{package}", supplied=("seed",))\n'
    )
    (folder / "hot.py").write_text(SOURCE.format(package=package))
    (folder / "broken.py").write_text("raise ImportError('never imported')\n")
    (folder / "_private.py").write_text('@SPICES.register("secret")\ndef secret(): ...\n')
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__(package).SPICES
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[module]


# -- what is read -----------------------------------------------------------------------------------------


def test_names_are_found_without_importing_a_file(spices):
    assert spices.names() == ["chili", "nothing", "paprika", "salt"]
    assert "chili" in spices
    assert "secret" not in spices
    assert f"{spices.package}.hot" not in sys.modules


def test_description_holds_what_the_source_says(spices):
    chili, paprika = spices.describe("chili"), spices.describe("paprika")
    assert (chili.module, chili.qualname) == (f"{spices.package}.hot", "Chili")
    assert chili.summary == "Hot."
    assert chili.source == "Columbus 1493."
    assert list(chili.parameters) == ["heat", "pods", "sweet"]  # a seed is supplied, dish is no keyword
    assert chili.parameters["heat"] == Parameter("heat", 2.0, Positive)
    assert chili.parameters["pods"].default is REQUIRED
    assert (dict(chili.fixed), dict(paprika.fixed)) == ({}, {"sweet": True})
    assert list(paprika.parameters) == ["heat", "pods"]
    assert [str(p) for p in chili.parameters.values()] == ["heat=2.0", "pods", "sweet=False"]
    assert (spices.describe("salt").source, spices.describe("nothing").doc) == ("", "")
    assert spices.describe("nothing").parameters == {}


def test_creation_imports_and_passes_fixed_and_supplied_arguments(spices):
    paprika = spices.create("paprika", "stew", pods=3, seed=7)
    assert vars(paprika) == {"dish": "stew", "heat": 2.0, "pods": 3, "sweet": True, "seed": 7}
    assert type(paprika) is spices.get("chili")
    assert f"{spices.package}.broken" not in sys.modules
    assert spices.create("salt") is None
    assert spices.create("salt", grams=2) == 2.0


def test_module_of_its_own_may_hold_a_registry():
    schedules = registry("schedules")
    assert {schedules.describe(name).module for name in schedules.names()} == {
        "longtail.stages.training.schedules"
    }


def test_name_registered_twice_in_the_source_stays_with_the_first(spices, tmp_path):
    twin = tmp_path / spices.package / "twin.py"
    twin.write_text('@SPICES.register("salt")\ndef other(): ...\n')
    with pytest.warns(LostComponentWarning, match=r"^spice 'salt' is left out: .*twin\.py: .*hot\.salt has "):
        assert spices.names() == ["chili", "nothing", "paprika", "salt"]
    assert spices.describe("salt").qualname == "salt"


# -- what is refused --------------------------------------------------------------------------------------


def test_unknown_name_gets_the_nearest_one(spices):
    with pytest.raises(ValueError, match=r"^unknown spice 'chilli'; did you mean 'chili'\?$"):
        spices.describe("chilli")
    with pytest.raises(ValueError, match=r"unknown spice 'x'; choose from chili, nothing, paprika, salt$"):
        spices.create("x")
    assert did_you_mean("x", []) == ""


def test_all_problems_are_reported_at_once(spices):
    with pytest.raises(Problems) as caught:
        spices.create("chili", "stew", haet=1, heat=0, sweet=1)
    assert [str(p) for p in caught.value.problems] == [
        "spice chili.haet: unknown parameter of spice chili; did you mean 'heat'?",
        "spice chili.heat: must be a number > 0, got 0",
        "spice chili.sweet: must be true or false, got 1",
        "spice chili.pods: is required; it must be an integer ≥ 1",
    ]
    assert str(caught.value) == "; ".join(str(p) for p in caught.value.problems)


def test_parameter_of_a_component_without_any_is_refused(spices):
    with pytest.raises(Problems, match="heat: unknown parameter of spice nothing; it has none"):
        spices.create("nothing", heat=1)


def test_fixed_and_supplied_arguments_are_no_settings(spices):
    with pytest.raises(Problems, match="sweet: unknown parameter"):
        spices.check("paprika", {"pods": 1, "sweet": False})
    with pytest.raises(Problems, match="seed: unknown parameter"):
        spices.check("chili", {"pods": 1, "seed": 3})


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (int, True),
        (Count, True),
        (float, False),
        (NonNegative, True),
        (Positive, float("nan")),
        (float, float("nan")),
        (float, float("inf")),
        (NonNegative | None, float("inf")),
        (int, 2.0),
        (Count, 0),
        (Index, -1),
        (Positive, 0),
        (NonNegative, -1e-9),
        (Fraction, 1.1),
        (Beta, 1.0),
        (bool, 0),
        (bool, "true"),
        (str, 3),
        (float, "3"),
        (Positive, None),
        (Literal["a", "b"], "c"),
        (NonNegative | Literal["auto"], "Auto"),
        (list[Index], [1, -1]),
        (list[Index], [1, True]),
        (list[Index], 3),
        (SamplerSpec, 3),
        (int, np.float64(2)),
        (int, np.ones(1, int)),
    ],
    ids=repr,
)
def test_value_against_its_rule_is_refused_with_both_shown(rule, value):
    with pytest.raises(ValueError) as caught:
        check_value(rule, value)
    shown = value.item() if isinstance(value, np.float64) else value
    assert str(caught.value) == f"must be {describe_rule(rule)}, got {as_written(shown)}"


@pytest.mark.parametrize(
    ("rule", "value", "kept"),
    [
        (float, 3, 3.0),
        (Positive, 1, 1.0),
        (NonNegative | Literal["auto"], 0, 0.0),
        (NonNegative | Literal["auto"], "auto", "auto"),
        (NonNegative | None, None, None),
        (list[Index], [3, 0], [3, 0]),
        (Count, np.int64(4), 4),
        (Positive, np.float32(0.5), 0.5),
        (bool, np.bool_(True), True),
        (SamplerSpec, {"name": "power", "q": 1}, {"name": "power", "q": 1}),
        (Location, "here", "here"),
        (Permission, True, True),
        (Any, {1, 2}, {1, 2}),
    ],
    ids=repr,
)
def test_value_that_obeys_its_rule_comes_in_the_type_asked_for(rule, value, kept):
    result = check_value(rule, value)
    assert result == kept
    assert type(result) is type(kept)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Positive | None, "a number > 0 or null"),
        (NonNegative, "a number ≥ 0"),
        (Fraction, "a number ≥ 0 and ≤ 1"),
        (Beta, "a number ≥ 0 and < 1"),
        (Count, "an integer ≥ 1"),
        (Index, "an integer ≥ 0"),
        (bool, "true or false"),
        (str, "a string"),
        (Location, "a path"),
        (Location | None, "a path or null"),
        (Permission, "true or false"),
        (Literal["lbfgs", "sgd"], "lbfgs or sgd"),
        (NonNegative | Literal["validation"], "a number ≥ 0 or validation"),
        (Literal["x", None], "x or null"),
        (list[Index], "a list, each an integer ≥ 0"),
        (SamplerSpec, "a name or {name, ...parameters}"),
        (LossSpec | None, "a name or {name, ...parameters} or null"),
    ],
)
def test_rules_are_described_in_words(rule, words):
    assert describe_rule(rule) == words


def test_marks_of_paths_and_nested_components_are_found():
    assert spec_kind(SamplerSpec) == "samplers"
    assert spec_kind(LossSpec | None) == "losses"
    assert spec_kind(str | dict) is None
    assert is_access(Location | None) and is_access(Permission)
    assert not is_access(str) and not is_access(bool)


def test_problem_says_where_it_is():
    problem = Problem("lr", "must be a number > 0")
    assert str(problem.under("optimizer")) == "optimizer.lr: must be a number > 0"
    assert str(Problem("", "is missing")) == "is missing"
    assert Problem("", "is missing").under("loss").path == "loss"


# -- components from outside ------------------------------------------------------------------------------


def test_component_from_outside_is_like_any_other(spices):
    @spices.register("curry", colour="yellow")
    def curry(dish, *, colour: str, parts: Count = 3, seed: int = 0):
        """A mixture.

        Source: Madras 1784.
        """
        return dish, colour, parts, seed

    assert spices.names() == ["chili", "curry", "nothing", "paprika", "salt"]
    assert "curry" in spices
    described = spices.describe("curry")
    assert (described.summary, described.source) == ("A mixture.", "Madras 1784.")
    assert dict(described.parameters) == {"parts": Parameter("parts", 3, Count)}
    assert spices.get("curry") is curry
    assert spices.create("curry", "rice", parts=2, seed=5) == ("rice", "yellow", 2, 5)
    with pytest.raises(Problems, match=r"spice curry\.parts: must be an integer ≥ 1, got 0"):
        spices.create("curry", "rice", parts=0)
    with pytest.raises(ValueError, match="did you mean 'curry'"):
        spices.describe("cury")


def test_component_from_outside_may_leave_rules_out(spices):
    @spices.register("pepper")
    class Pepper:
        """Black."""

        def __init__(self, *, grind="fine", size: "Positive" = 1.0):
            self.grind, self.size = grind, size

    assert spices.describe("pepper").parameters["grind"].rule is Any
    assert spices.describe("pepper").parameters["size"].rule == Positive
    assert spices.create("pepper", grind=object, size=2).grind is object


def test_component_from_outside_cannot_take_a_name_of_the_package(spices):
    with pytest.raises(ValueError, match=r"spice 'salt' exists already \(.*hot\.salt\)"):

        @spices.register("salt")
        def mine(*, grains: Count = 1):
            """Mine."""

    assert spices.create("salt", grams=1) == 1.0


def test_component_from_outside_may_be_registered_again(spices):
    for number in (1, 2):  # a notebook's cell run twice
        spices.register("curry")(lambda number=number: number)
    assert spices.create("curry") == 2


# -- every component --------------------------------------------------------------------------------------


def test_names_are_sorted_with_numbers_by_size(spices):
    for name in ("chili10", "chili9", "anise"):
        spices.register(name)(lambda: None)
    assert spices.names() == ["anise", "chili", "chili9", "chili10", "nothing", "paprika", "salt"]


@every_component
def test_scanned_parameters_are_the_inspected_ones(kind, name):
    if name == "timm":
        pytest.importorskip("timm", reason="the extra `timm` is not installed")
    kind_registry = registry(kind)
    scanned = Registry.describe(kind_registry, name)  # a data set's own ones, without the splitter's
    hidden = {*kind_registry.supplied, *scanned.fixed}
    assert dict(scanned.parameters) == signature_parameters(kind_registry.get(name), hidden)
    signature = inspect.signature(kind_registry.get(name)).parameters
    assert set(scanned.fixed) <= set(signature)
    assert scanned.doc == inspect.getdoc(kind_registry.get(name))
    assert (scanned.module, scanned.qualname) == (
        kind_registry.get(name).__module__,
        kind_registry.get(name).__qualname__,
    )


@every_component
def test_component_says_what_it_is_and_where_it_comes_from(kind, name):
    described = registry(kind).describe(name)
    assert described.summary.rstrip(":").strip(), "a first line"
    assert len(described.summary) <= 110
    assert described.source, "a Source: paragraph"


@every_component
def test_defaults_obey_their_own_rules(kind, name):
    for parameter in registry(kind).describe(name).parameters.values():
        assert describe_rule(parameter.rule)
        if parameter.default is not REQUIRED:
            assert check_value(parameter.rule, parameter.default) == parameter.default


@pytest.mark.parametrize("kind", KINDS)
def test_registry_has_components_under_plain_names(kind):
    names = registry(kind).names()
    assert names
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and name == name.lower() for name in names)


def test_reading_every_registry_loads_no_heavy_library():
    code = textwrap.dedent(
        """
        import sys
        from longtail.pipeline.config.components import KINDS, check_spec, registry
        for kind in KINDS:
            for name in registry(kind).names():
                component = registry(kind).describe(name)
                assert component.doc, name
        registry("classifiers").check("crt", {"solver": "sgd", "epochs": 3})
        heavy = {"torch", "numpy", "sklearn", "scipy", "faiss", "torchvision"} & set(sys.modules)
        assert not heavy, heavy
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
