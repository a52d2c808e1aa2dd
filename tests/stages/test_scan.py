"""What can be read of source text, and what an imperfect file costs: its own names, said with their place."""

from __future__ import annotations

import sys
import textwrap
import warnings
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Lt

from longtail.pipeline.config.components import KINDS, registry
from longtail.stages.parameters import Count, LossSpec, NonNegative, Positive
from longtail.stages.registry import REQUIRED, Registry
from longtail.stages.registry.annotations import RULES, rule_of_text
from longtail.stages.registry.outside import LostComponentWarning

COMPONENTS = [(kind, name) for kind in KINDS for name in registry(kind).names()]

GOOD = """
@TOOLS.register("good")
class Good:
    def __init__(self, *, size: Count = 1): ...
"""


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """``tools(text, ...)``: a registry over a package with a good file and the files of some texts."""
    package = f"tools_{abs(hash(tmp_path))}"
    folder = tmp_path / package
    folder.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def make(*texts: str, **files: str) -> Registry:
        begin = f"from {package} import TOOLS\nfrom longtail.stages.parameters import Count\n"
        (folder / "__init__.py").write_text(
            f'from longtail.stages.registry import Registry\nTOOLS = Registry("tool", "TOOLS", "{package}")\n'
        )
        (folder / "good.py").write_text(begin + GOOD)
        files |= {f"file{number}": text for number, text in enumerate(texts)}
        for name, text in files.items():
            text = textwrap.dedent(text).replace("PACKAGE", package).lstrip("\n")
            (folder / f"{name}.py").write_text(text)
        return __import__(package).TOOLS

    yield make
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[module]


def lost(made: Registry) -> list[str]:
    """What is warned of when a registry is first asked, the package's name taken out."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert "good" in made.names()
    assert all(entry.category is LostComponentWarning for entry in caught)
    return [str(entry.message).replace(f"{made.package}/", "") for entry in caught]


# -- what a mistake costs, and how it is told -------------------------------------------------------------


MISTAKES = {
    "no rule": (
        """
        from PACKAGE import TOOLS
        @TOOLS.register("bad")
        class Bad:
            def __init__(self, *, gamma=1.0): ...
        """,
        "file0.py:4: gamma: needs a rule, as in gamma: Positive = 1.0",
    ),
    "default by name": (
        """
        from longtail.stages.parameters import Positive
        GAMMA = 1.0
        @TOOLS.register("bad")
        def bad(
            *,
            gamma: Positive = GAMMA,
        ): ...
        """,
        "file0.py:6: gamma: its default must be a literal, got GAMMA",
    ),
    "unknown rule": (
        """
        @TOOLS.register("bad")
        def bad(*, gamma: Postive = 1.0): ...
        """,
        "file0.py:2: gamma: Postive is not a rule; take one of longtail.stages.parameters, such as Positive, "
        "Count or Fraction, or bool, int, float, str, Literal[...], None",
    ),
    "rule from elsewhere": (
        """
        from mylib import Positive
        @TOOLS.register("bad")
        def bad(*, gamma: Positive = 1.0): ...
        """,
        "file0.py:3: gamma: Positive is not a rule",
    ),
    "code for a rule": (
        """
        @TOOLS.register("bad")
        def bad(*, gamma: __import__("os").abort() = 1.0): ...
        """,
        "file0.py:2: gamma: __import__('os').abort() is not a rule",
    ),
    "no literal at all": (
        """
        @TOOLS.register("bad")
        def bad(*, gamma: float = {[]: 1}): ...
        """,
        "file0.py:2: gamma: its default must be a literal, got {[]: 1}",
    ),
    "argument": (
        """
        @TOOLS.register("bad", depth=max(1, 2))
        def bad(*, depth: int): ...
        """,
        "file0.py:1: depth: must be a literal, got max(1, 2)",
    ),
    "arguments in bulk": (
        """
        @TOOLS.register("bad", **{"depth": 1})
        def bad(*, depth: int): ...
        """,
        "file0.py:1: **: must be written out",
    ),
    "facts": (
        """
        @TOOLS.register("bad", facts=3)
        def bad(): ...
        """,
        "file0.py:1: facts: must be a mapping, got 3",
    ),
    "positional": (
        """
        @TOOLS.register("bad")
        def bad(data, gamma: float = 1.0): ...
        """,
        "file0.py:2: gamma: must be keyword-only to be a setting; put a * before it",
    ),
    "open ended": (
        """
        @TOOLS.register("bad")
        class Bad:
            def __init__(self, **settings): ...
        """,
        "file0.py:3: **settings: must be written out as keyword-only settings",
    ),
    "dataclass": (
        """
        from dataclasses import dataclass
        @TOOLS.register("bad")
        @dataclass(kw_only=True)
        class Bad:
            gamma: float = 1.0
        """,
        "file0.py:4: class Bad: dataclass makes its __init__ (PACKAGE/file0.py:4); write it out",
    ),
    "inherited from elsewhere": (
        """
        from mylib import Base
        @TOOLS.register("bad")
        class Bad(Base): ...
        """,
        "file0.py:3: class Bad: inherits __init__ from mylib.Base, which is not read; write __init__ here",
    ),
    "does not parse": (
        """
        @TOOLS.register("bad")
        def bad(:
        """,
        "file0.py:2: is not Python (invalid syntax)",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_costs_only_its_own_name_and_is_reported_with_its_place(tools, mistake):
    text, reason = MISTAKES[mistake]
    made = tools(text)
    reason = reason.replace("PACKAGE/", "")
    (warning,) = lost(made)
    assert warning.startswith(f"tool 'bad' is left out: {reason}")
    assert lost(made) == []  # once
    assert made.names() == ["good"] and "bad" not in made
    assert made.create("good", size=2)
    for ask in (made.describe, made.get, made.create):
        with pytest.raises(ValueError) as caught:
            ask("bad")
        message = str(caught.value).replace(f"{made.package}/", "")
        assert message.startswith(f"tool 'bad' cannot be used: {reason}")
        assert "\n" not in message


def test_every_mistake_of_a_component_is_reported(tools):
    (warning,) = lost(
        tools(
            """
            @TOOLS.register("bad", depth=max(1, 2))
            def bad(
                *,
                depth: int,
                gamma=1.0,
                delta: Postive = DELTA,
            ): ...
            """
        )
    )
    places = [
        "file0.py:1: depth: ",
        "file0.py:5: gamma: ",
        "file0.py:6: delta: Postive ",
        "file0.py:6: delta: its ",
    ]
    assert all(place in warning for place in places)


def test_other_components_of_the_same_file_stay(tools):
    made = tools(
        """
        @TOOLS.register("bad")
        def bad(*, gamma=1.0): ...
        @TOOLS.register("fine", gamma=2)
        def fine(*, gamma=1.0): ...
        """
    )
    assert len(lost(made)) == 1
    assert made.names() == ["fine", "good"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "NAME = 'x'\n@TOOLS.register(NAME)\ndef f(): ...",
            "2: TOOLS.register(NAME): the name must be a literal string",
        ),
        ("@TOOLS.register()\ndef f(): ...", "1: TOOLS.register(): the name must be a literal string"),
        ("@TOOLS.register\ndef f(): ...", "1: TOOLS.register: must decorate a function or class at the top"),
        (
            "def f(): ...\nTOOLS.register('x')(f)",
            "2: TOOLS.register: must decorate a function or class at the top",
        ),
        ("mark = TOOLS.register\n@mark('x')\ndef f(): ...", "1: TOOLS.register: must decorate"),
        ("if True:\n    @TOOLS.register('x')\n    def f(): ...", "2: TOOLS.register: must decorate"),
    ],
)
def test_a_registration_that_cannot_be_read_is_reported_too(tools, text, reason):
    made = tools(text)
    (warning,) = lost(made)
    assert warning.startswith(f"file0.py:{reason}")
    assert made.names() == ["good"]


def test_a_file_that_is_not_utf8_is_reported(tools, tmp_path):
    made = tools(broken="")
    path = tmp_path / made.package / "broken.py"
    path.write_bytes(b"# \xff TOOLS.register\n")
    assert lost(made) == ["broken.py: cannot be read (it is not UTF-8)"]


def test_a_lost_component_stays_lost_when_its_file_is_imported(tools):
    made = tools(bad='from PACKAGE import TOOLS\n@TOOLS.register("bad")\ndef bad(*, gamma=1.0): ...\n')
    assert len(lost(made)) == 1
    __import__(f"{made.package}.bad")
    assert "bad" not in made
    with pytest.raises(ValueError, match="cannot be used"):
        made.create("bad")


def test_registers_of_others_are_left_alone(tools):
    made = tools(
        """
        import functools
        from mylib.registry import TOOLS as THEIRS
        from PACKAGE import TOOLS

        @functools.singledispatch
        def show(value): ...

        @show.register(int)
        def show_int(value): ...

        @THEIRS.register(NAME)
        class Whatever: ...
        """
    )
    assert lost(made) == []


# -- what is followed -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "from PACKAGE import TOOLS as T\n@T.register('x')\ndef f(): ...",
        "from . import TOOLS as T\n@T.register('x')\ndef f(): ...",
        "import PACKAGE as p\n@p.TOOLS.register('x')\ndef f(): ...",
        "import PACKAGE\n@PACKAGE.TOOLS.register('x')\ndef f(): ...",
        "from PACKAGE import TOOLS\nT = TOOLS\n@T.register('x')\ndef f(): ...",
    ],
)
def test_a_registry_may_go_by_another_name(tools, text):
    made = tools(text)
    assert lost(made) == []
    assert made.names() == ["good", "x"]
    assert made.create("x") is None


BASES = """
    from longtail.stages.parameters import Count, Positive

    class Root:
        colour = "grey"
        sharp = False
        weight: float = 1.5
        _secret = 1

        def __init__(self, *, gamma: Positive = 1.0): ...

        @property
        def computed(self): ...

    class Middle(Root):
        sharp = True
        computed = 3
        length = sum([1, 2])
        weight = max(1, 2)
"""


def test_init_and_facts_are_inherited_across_files(tools):
    made = tools(
        """
        from PACKAGE import TOOLS
        from PACKAGE.bases import Middle as Base

        @TOOLS.register("child", facts={"also": [1]})
        class Child(Base):
            colour = "red"
            kinds = ("a", "b")

            def computed(self): ...
        """,
        bases=BASES,
    )
    assert lost(made) == []
    child = made.describe("child")
    assert [str(p) for p in child.parameters.values()] == ["gamma=1.0"]
    assert child.facts == {"colour": "red", "sharp": True, "kinds": ("a", "b"), "also": [1]}


def test_bases_are_looked_up_in_pythons_order(tools):
    made = tools(
        """
        class Top:
            a, b = 0, 0
            side = "top"
            def __init__(self, *, top: int = 1): ...
        class Left(Top):
            pass
        class Right(Top):
            side = "right"
            def __init__(self, *, right: int = 1): ...
        @TOOLS.register("both")
        class Both(Left, Right): ...
        """
    )
    both = made.describe("both")
    assert both.facts == {"side": "right"} and list(both.parameters) == ["right"]


def test_a_base_in_a_file_that_does_not_parse_is_reported_with_both_places(tools):
    made = tools(
        "from PACKAGE.bases import Base\n@TOOLS.register('bad')\nclass Bad(Base): ...", bases="class Base(:\n"
    )
    (warning,) = lost(made)
    assert "file0.py:3: class Bad: bases.py:1: is not Python" in warning


def test_a_class_that_derives_from_itself_ends(tools):
    (warning,) = lost(tools("@TOOLS.register('bad')\nclass Bad(Bad): ..."))
    assert "inherits __init__ from" in warning


# -- rules ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Positive | None", Positive | None),
        ("None | Count", None | Count),
        ("'NonNegative'", NonNegative),
        ("Literal['a', None, 3]", Literal["a", None, 3]),
        ("typing.Literal['a'] | float", Literal["a"] | float),
        ("list[Count]", list[Count]),
        ("LossSpec", LossSpec),
        ("Any", Any),
        ("str | dict", str | dict),
        ("Annotated[float, Gt(0), Lt(0.5)]", Annotated[float, Gt(0), Lt(0.5)]),
        ("Annotated[int, annotated_types.Ge(3)] | None", Annotated[int, Ge(3)] | None),
    ],
)
def test_rules_are_read_as_python_would(text, rule):
    assert rule_of_text(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "Problem", "np.ndarray", "list", "list[int, str]", "Literal[X]", "Annotated[float]", "None | None",
        "Annotated[float, Gt(x)]", "Annotated[float, SpecOf('losses')]", "1", "f()", "(", "", "lambda: 0",
        "os.Positive",
    ],
)  # fmt: skip
def test_what_is_not_a_rule_is_refused(text):
    with pytest.raises(ValueError, match="is not a rule"):
        rule_of_text(text)


def test_every_rule_can_be_read_by_its_name():
    assert len(RULES) > 10
    assert all(rule_of_text(name) is rule for name, rule in RULES.items())


# -- every component --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_facts_are_the_class_attributes(kind, name):
    if name == "timm":
        pytest.importorskip("timm", reason="the extra `timm` is not installed")
    target = registry(kind).get(name)
    facts = registry(kind).describe(name).facts
    if isinstance(target, type):
        own = {key: value for key, value in facts.items() if key != "torchvision"}
        assert own == {key: getattr(target, key) for key in own}
    else:
        assert set(facts) <= {"holds_features", "cosine", "for_balanced_batches"}


def test_facts_that_settings_are_checked_by_are_read_for_every_component():
    for name in registry("losses").names():
        assert registry("losses").describe(name).facts["head_kind"] in ("linear", "cosine")
    for name in registry("classifiers").names():
        facts = registry("classifiers").describe(name).facts
        assert {"always_chooses", "chooses_under_cosine", "presumes_prior"} <= facts.keys()


def test_nothing_of_ours_is_lost():
    with warnings.catch_warnings():
        warnings.simplefilter("error", LostComponentWarning)
        for kind in KINDS:
            known = registry(kind)
            assert Registry(known.kind, known.variable, known.package, supplied=tuple(known.supplied)).names()


def test_a_required_parameter_has_no_default():
    assert registry("datasets").describe("feature_arrays").parameters["root"].default is REQUIRED
