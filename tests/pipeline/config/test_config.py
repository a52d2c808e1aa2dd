"""The configuration: shipped recipes, bases, overrides, and every problem said at once."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
from itertools import takewhile

import pytest

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.loading import Config, check_config, load_config
from longtail.pipeline.config.recipes import (
    KEYS,
    find,
    merge,
    parse_override,
    read_settings,
    shipped,
    shipped_folder,
)
from longtail.pipeline.errors import ConfigError


def write(folder, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return str(path)


def problems(*overrides: str, config: str = "digits_lt") -> dict[str, str]:
    """{path: message} of everything wrong; a path is never reported twice."""
    with pytest.raises(ConfigError) as caught:
        load_config(config, overrides)
    reported = caught.value.problems
    assert len({p.path for p in reported}) == len(reported), reported
    assert str(caught.value).splitlines() == [f"{config}: {p}" for p in reported]
    return {p.path: p.message for p in reported}


# -- shipped recipes ----------------------------------------------------------------------------------------


def header_of(name: str) -> list[str]:
    lines = (shipped_folder() / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    end = next(n for n, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").strip() for line in lines[:end]]


def test_recipes_are_found():
    assert {"digits_lt", "fashion_mnist_lt", "features", "image_folder"} <= set(shipped())


@pytest.mark.parametrize("name", shipped())
def test_recipe_is_valid_and_not_empty(name):
    config = load_config(name)
    assert len(config.minimal()) >= 1 and config.data.name
    assert config.classifiers


@pytest.mark.parametrize("name", shipped())
def test_recipe_header_has_command_purpose_and_result(name):
    command, purpose, *rest = header_of(name)
    words = shlex.split(command)
    assert words[:2] in (["longtail", "run"], ["longtail", "ablate"]) and words[2] in (
        name,
        f"configs/{name}.yaml",
    )
    load_config(words[2], list(takewhile(lambda word: not word.startswith("--"), words[3:])))
    assert len(purpose.split()) > 4 and not purpose.startswith("longtail")
    result = " ".join(rest)
    measured = re.search(r"\d", result) and re.search(r"\b20\d\d\b", result)
    assert "not yet measured" in result.lower() or measured, "a figure and a date, or 'not yet measured'"


@pytest.mark.parametrize("name", shipped())
def test_full_config_written_and_loaded_again_is_the_same_config(name, tmp_path):
    config = load_config(name)
    path = tmp_path / "full.yaml"
    path.write_text(strict_yaml.dump(config.full()))
    again = load_config(str(path))
    assert again.minimal() == config.minimal()
    assert again.full() == config.full()


@pytest.mark.parametrize("name", shipped())
def test_minimal_config_written_and_loaded_again_is_the_same_config(name, tmp_path):
    config = load_config(name)
    path = tmp_path / "minimal.yaml"
    path.write_text(strict_yaml.dump(config.minimal()))
    assert load_config(str(path)).full() == config.full()


@pytest.mark.parametrize("name", shipped())
def test_recipe_is_found_by_every_spelling(name):
    expected = shipped_folder() / f"{name}.yaml"
    for spelling in (name, f"{name}.yaml", f"configs/{name}", f"configs/{name}.yaml", str(expected)):
        assert find(spelling).resolve() == expected.resolve()


def test_recipe_is_found_whatever_lies_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "__init__.py").touch()
    (tmp_path / "digits_lt").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert load_config("digits_lt").data.name == "digits"


def test_unknown_recipe_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"digits_tl: no such .* did you mean 'digits_lt'\?"):
        load_config("digits_tl")


def test_recipe_of_a_paper_is_found_without_its_folder_in_the_hint():
    with pytest.raises(ConfigError, match=r"did you mean 'papers/cao_cifar10_ldam_drw'\?"):
        load_config("cao_cifar10_ldam_drw")


def test_recipe_like_no_other_is_refused_with_where_their_names_stand():
    with pytest.raises(ConfigError) as caught:
        load_config("zzz")
    assert str(caught.value) == (
        "zzz: no such configuration file or recipe; longtail list configs names the recipes"
    )


# -- defaults -----------------------------------------------------------------------------------------------


def test_minimal_omits_what_equals_the_default(tmp_path):
    path = write(tmp_path, "a.yaml", "data: {name: digits}")
    assert load_config(path).minimal() == {"data": {"name": "digits"}}
    spelled_out = [
        "seed=0", "data.seed=0", "data.profile=none", "data.test_fraction=0.2", "representation.epochs=90",
        "representation.backbone={name: small_cnn}", "representation.optimizer={lr: 0.1, momentum: 0.9}",
        "representation.augment.flip=false", "features={checkpoint: last, views: 0}", "evaluation.many=100",
        "system.threads=auto",
        "classifiers=[joint, {name: crt, sampler: {name: class_balanced, samples_per_class: 4}}, ncm, "
        "tau_norm, lws]",
    ]  # fmt: skip
    assert load_config(path, spelled_out).minimal() == {"data": {"name": "digits"}}


def test_minimal_keeps_what_differs_only():
    config = load_config(
        "digits_lt", ["representation.optimizer.lr=0.2", "classifiers=[{name: crt, lr: 0.2}]"]
    )
    assert config.representation.minimal()["optimizer"] == {"name": "sgd", "lr": 0.2, "nesterov": True}
    assert config.classifiers[0].minimal() == {"name": "crt"}  # 0.2 is crt's default


def test_integer_where_a_number_is_asked_for_is_the_same_setting():
    one, other = (load_config("digits_lt", [f"data.imbalance_factor={value}"]) for value in ("20", "20.0"))
    assert strict_yaml.dump(one.minimal()) == strict_yaml.dump(other.minimal())


def test_full_names_every_setting():
    full = load_config("digits_lt").full()
    assert set(full) == set(Config.model_fields)
    assert full["representation"]["schedule"] == {
        "name": "one_cycle", "warmup_epochs": None, "start": 0.04, "end": 4e-6, "per": "step",
    }  # fmt: skip
    assert full["classifiers"][1]["sampler"] == {"name": "class_balanced", "samples_per_class": 4}


# -- merging ------------------------------------------------------------------------------------------------


def test_merge_is_deep_for_mappings_and_replaces_lists():
    base = {"a": {"b": {"x": 1, "y": 2}, "l": [1, 2]}, "k": 0}
    assert merge(base, {"a": {"b": {"y": 3}, "l": [9]}}) == {
        "a": {"b": {"x": 1, "y": 3}, "l": [9]},
        "k": 0,
    }
    assert base == {"a": {"b": {"x": 1, "y": 2}, "l": [1, 2]}, "k": 0}  # untouched


COMPONENT = {"name": "sgd", "lr": 0.2, "nesterov": True}


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        (COMPONENT, {"name": "adamw"}, {"name": "adamw"}),
        (COMPONENT, {"name": "adamw", "lr": 1}, {"name": "adamw", "lr": 1}),
        (COMPONENT, "adamw", "adamw"),
        (COMPONENT, {"name": "sgd", "lr": 1}, {"name": "sgd", "lr": 1, "nesterov": True}),
        (COMPONENT, {"lr": 1}, {"name": "sgd", "lr": 1, "nesterov": True}),
        (COMPONENT, "sgd", COMPONENT),
        ("sgd", {"lr": 1}, {"name": "sgd", "lr": 1}),
        ("sgd", {"name": "adamw", "lr": 1}, {"name": "adamw", "lr": 1}),
        ("sgd", "adamw", "adamw"),
        (COMPONENT, {"lr": None}, {"name": "sgd", "nesterov": True}),
        ([1], {"lr": 1}, {"lr": 1}),
        ({"lr": 1}, [1], [1]),
    ],
)
def test_merge_keeps_parameters_of_the_same_component_only(base, over, merged):
    assert merge({"optimizer": base}, {"optimizer": over}) == {"optimizer": merged}


def test_null_resets_to_the_default():
    assert merge({"a": 1, "b": {"c": 2, "d": 3}}, {"a": None, "b": {"c": None}}) == {"b": {"d": 3}}
    config = load_config("digits_lt", ["representation.epochs=null", "representation.augment=~"])
    assert config.representation.epochs == 90
    assert config.representation.augment.pad == 0
    assert load_config("digits_lt", ["representation=null"]).representation.full()["batch_size"] == 128


def test_null_in_a_file_means_the_default(tmp_path):
    path = write(tmp_path, "a.yaml", "data: {name: digits, max_count: null}\nseed: null\nclassifiers: null")
    assert load_config(path).minimal() == {"data": {"name": "digits"}}


# -- base ---------------------------------------------------------------------------------------------------


def test_base_is_laid_under_the_file_at_any_distance(tmp_path):
    write(tmp_path, "a.yaml", """\
        seed: 3
        data: {name: digits, max_count: 50}
        representation: {epochs: 5, optimizer: {name: sgd, lr: 0.3, nesterov: true}}
        classifiers: [joint, ncm]
        """)  # fmt: skip
    write(tmp_path, "sub/b.yaml", "base: ../a.yaml\ndata: {max_count: 60}\nrepresentation: {batch_size: 8}")
    path = write(tmp_path, "sub/deep/c.yaml", """\
        base: ../b.yaml
        representation: {optimizer: {name: adamw}}
        classifiers: [lws]
        """)  # fmt: skip
    assert read_settings(path)[0] == {
        "seed": 3,
        "data": {"name": "digits", "max_count": 60},
        "representation": {"epochs": 5, "optimizer": {"name": "adamw"}, "batch_size": 8},
        "classifiers": ["lws"],
    }
    assert load_config(path).representation.optimizer.full()["lr"] == 1e-3


def test_base_setting_is_reset_by_null(tmp_path):
    write(tmp_path, "a.yaml", "seed: 3\ndata: {name: digits, max_count: 50}")
    path = write(tmp_path, "b.yaml", "base: a.yaml\nseed: null\ndata: {max_count: null}")
    assert load_config(path).minimal() == {"data": {"name": "digits"}}


def test_base_cycle_is_refused_and_shown(tmp_path):
    write(tmp_path, "a.yaml", "base: b.yaml")
    write(tmp_path, "b.yaml", "base: sub/../c.yaml")
    (tmp_path / "sub").mkdir()
    path = write(tmp_path, "c.yaml", "base: a.yaml")
    with pytest.raises(ConfigError, match=r"base: a cycle \(c.yaml → a.yaml → b.yaml → c.yaml\)"):
        load_config(path)
    alone = write(tmp_path, "d.yaml", "base: d.yaml")
    with pytest.raises(ConfigError, match="a cycle"):
        load_config(alone)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: gone.yaml", "a.yaml: base: no such file, got 'gone.yaml'"),
        ("base: digits_lt", "a.yaml: base: no such file, got 'digits_lt'"),
        ("base: [x]", "a.yaml: base: must be a path, got ['x']"),
        ("base: 3", "a.yaml: base: must be a path, got 3"),
        ("- seed", "a.yaml: must be a mapping of settings, holds a list"),
        ("", "a.yaml: must be a mapping of settings, holds nothing"),
        ("base: .", "a.yaml: base: must be a file, is a folder, got '.'"),
        ("base: /dev/zero", "a.yaml: base: must be a file, is a device, got '/dev/zero'"),
        ('base: "\\0"', "a.yaml: base: cannot be read (embedded null byte), got "),
        (f"{'k' * 600}: 1", "a.yaml: line 1: a key must have at most 500 characters"),
        ("seed: 1\nseed: 2", "a.yaml: line 2: duplicate key 'seed'"),
        ("seed: !!python/name:os.system", "a.yaml: line 1: tags are not allowed"),
    ],
)
def test_file_that_cannot_be_used_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, "a.yaml", text))
    assert str(caught.value).startswith(message)


def test_problem_in_a_base_is_reported_under_the_base(tmp_path):
    write(tmp_path, "base.yaml", "seed: [")
    with pytest.raises(ConfigError, match=r"^base.yaml: line "):
        load_config(write(tmp_path, "a.yaml", "base: base.yaml"))


def test_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"seed: \xff\xfe")
    with pytest.raises(ConfigError, match=r"a\.yaml: is not UTF-8 text \(byte 6\)$"):
        load_config(str(tmp_path / "a.yaml"))


OTHER_FILES = {
    "passwd": "root:x:0:0:SECRET:/root:/bin/bash\nbin:x:1:1:bin:/bin:/usr/sbin/nologin\n",
    "a key": "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n",
    "settings of another program": "kind: Secret\nmetadata: {name: SECRET}\ndata: {password: SECRET}\n",
    "a table": "[section]\nSECRET = 1\n",
    "JSON": '{"type": "account", "private_key": "SECRET"}',
    "a broken mapping": "key: [SECRET\nother: }SECRET",
    "a tag": f"!{'x' * 50}SECRET value",
    "keys": f"? {'x' * 50}SECRET\n: 1\n? {'x' * 50}SECRET\n: 2",
}


@pytest.mark.parametrize("kind", OTHER_FILES)
@pytest.mark.parametrize("reference", ["other", "a.yaml"])
def test_what_another_file_holds_is_not_printed(tmp_path, kind, reference):
    write(tmp_path, "other", OTHER_FILES[kind])
    write(tmp_path, "a.yaml", "base: other\ndata: digits")
    with pytest.raises(ConfigError, match=r"^other: ") as caught:
        load_config(str(tmp_path / reference))
    assert "SECRET" not in str(caught.value)


def test_top_level_keys_are_those_of_a_configuration():
    assert set(KEYS) == {"base", *Config.model_fields}


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a FIFO"),
        (os.mkdir, "a folder"),
        (lambda path: os.symlink("/dev/zero", path), "a device"),
        (lambda path: os.symlink("gone", path), "a link to nothing"),
    ],
)
def test_a_path_that_leads_to_no_file_says_so(tmp_path, make, kind):
    make(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match=rf"a\.yaml: no such configuration file or recipe; it is {kind}$"):
        load_config(str(tmp_path / "a.yaml"))


def test_a_configuration_has_a_bounded_size(tmp_path):
    with open(tmp_path / "a.yaml", "wb") as file:
        file.truncate(2**40)  # sparse: it takes no room
    with pytest.raises(ConfigError, match=r"a\.yaml: is longer than 1 MiB$"):
        load_config(str(tmp_path / "a.yaml"))


# -- overrides ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=1e-3", {"a": {"b": 0.001}}),
        ("a=no", {"a": "no"}),
        ("a='1'", {"a": "1"}),
        ("a=[x, {y: 1}]", {"a": ["x", {"y": 1}]}),
        ("a=", {"a": None}),
        ("a=null", {"a": None}),
        ("a=b=c", {"a": "b=c"}),
        (" a.b = 1", {"a": {"b": 1}}),
    ],
)
def test_override_is_read_by_the_strict_loader(text, value):
    assert parse_override(text) == value


@pytest.mark.parametrize("text", ["seed", "=1", "a..b=1", ".a=1", "a.=1", ""])
def test_override_without_key_and_value_is_refused(text):
    with pytest.raises(ConfigError, match="an override must be KEY=VALUE with a dotted key, got"):
        parse_override(text)


@pytest.mark.parametrize("value", ["!!python/name:os.system", "[", "{a: 1, a: 2}"])
def test_override_of_bad_yaml_is_refused_by_its_key(value):
    with pytest.raises(ConfigError, match=r"^data\.max_count: line 1: "):
        parse_override(f"data.max_count={value}")


def test_overrides_come_last_and_in_order(tmp_path):
    write(tmp_path, "a.yaml", "data: {name: digits, max_count: 50}")
    path = write(tmp_path, "b.yaml", "base: a.yaml\ndata: {max_count: 60}")
    assert load_config(path, ["data.max_count=70"]).data.params["max_count"] == 70
    assert load_config(path, ["data.max_count=70", "data.max_count=80"]).data.params["max_count"] == 80
    assert load_config(path, ["classifiers=[lws]", "classifiers=[ncm]"]).classifiers[0].name == "ncm"


def test_override_reaches_into_a_component_that_is_not_set(tmp_path):
    path = write(tmp_path, "a.yaml", "data: digits")
    config = load_config(path, ["representation.optimizer.lr=0.2", "representation.schedule.warmup_epochs=2"])
    assert config.representation.optimizer.minimal() == {"name": "sgd", "lr": 0.2}
    assert config.representation.schedule.minimal() == {"name": "cosine", "warmup_epochs": 2.0}


def test_override_of_a_components_name_drops_its_parameters():
    config = load_config("digits_lt", ["representation.optimizer.name=adamw"])
    assert config.representation.optimizer.minimal() == {"name": "adamw"}
    kept = load_config("digits_lt", ["representation.optimizer=sgd"])
    assert kept.representation.optimizer.minimal() == {"name": "sgd", "nesterov": True}


# -- problems -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        # unknown keys at every level
        ("sed", "1", "unknown key; did you mean 'seed'?"),
        ("xyz", "1", "unknown key; choose from seed, data, representation, "),
        ("base", "a.yaml", "unknown key"),
        ("representation.epohcs", "1", "unknown key; did you mean 'epochs'?"),
        ("representation.augment.filp", "1", "unknown key; did you mean 'flip'?"),
        ("features.veiws", "0", "unknown key; did you mean 'views'?"),
        ("evaluation.fw", "1", "unknown key; did you mean 'few'?"),
        ("system.thread", "1", "unknown key; did you mean 'threads'?"),
        # wrong types
        ("seed", "true", "must be an integer ≥ 0, got true"),
        ("seed", "1.0", "must be an integer ≥ 0, got 1.0"),
        ("seed", "'1'", "must be an integer ≥ 0, got '1'"),
        ("seed", "{x: 1}", "must be an integer ≥ 0, got {'x': 1}"),
        ("representation", "3", "must be a mapping, got 3"),
        ("representation.augment", "[1]", "must be a mapping, got [1]"),
        ("representation.augment.flip", "no", "must be true or false, got 'no'"),
        ("evaluation", "x", "must be a mapping, got 'x'"),
        ("representation.loss", "3", "must be a name or {name, ...parameters}, got 3"),
        ("system.workers", "some", "must be an integer ≥ 1 or auto, got 'some'"),
        # out of range
        ("seed", "-1", "must be an integer ≥ 0, got -1"),
        ("representation.epochs", "0", "must be ≥ 1 without representation.weights, got 0"),
        ("representation.epochs", "-1", "must be an integer ≥ 0, got -1"),
        ("representation.clip_grad_norm", "0", "must be a number > 0 or null, got 0"),
        ("representation.clip_grad_norm", ".inf", "must be a number > 0 or null, got inf"),
        ("representation.augment.mixup", ".nan", "must be a number ≥ 0, got nan"),
        ("system.workers", "0", "must be an integer ≥ 1 or auto, got 0"),
        ("features.views", "-1", "must be an integer ≥ 0, got -1"),
        ("features.checkpoint", "first", "must be last or best, got 'first'"),
        ("evaluation.protocol", "test", "must be validation or paper, got 'test'"),
        # components
        ("data", "digts", "unknown data set 'digts'; did you mean 'digits'?"),
        ("data.nmae", "digits", "unknown parameter of data set digits"),
        ("data.max_cuont", "1", "unknown parameter of data set digits; did you mean 'max_count'?"),
        ("data.max_count", "0", "must be an integer ≥ 1 or null, got 0"),
        ("representation.sampler", "powr", "unknown sampler 'powr'; did you mean 'power'?"),
        ("representation.backbone", "resnet", "unknown backbone 'resnet'; did you mean 'resnet"),
        ("representation.optimizer.lr", "-1", "must be a number > 0, got -1"),
        ("representation.loss.x", "1", "unknown parameter of loss cross_entropy"),
        # what does not go together
        ("evaluation.few", "51", "must be ≤ evaluation.many (50), got 51"),
    ],
)
def test_problem_names_path_rule_and_value(path, value, message):
    reported = problems(f"{path}={value}")
    assert list(reported) == [path]
    assert reported[path].startswith(message)


@pytest.mark.parametrize(
    ("override", "path", "message"),
    [
        ("evaluation.many=5", "evaluation.few", "must be ≤ evaluation.many (5), got 20"),
        (
            "representation.optimizer.momentum=0",
            "representation.optimizer.nesterov",
            "must be false without momentum, got true",
        ),
        (
            "representation.schedule=multi_step",
            "representation.schedule.milestones",
            "is required; it must be a list, each an integer ≥ 0",
        ),
        (
            "representation.sampler={name: deferred, start_epoch: 1, then: powr}",
            "representation.sampler.then",
            "unknown sampler 'powr'; did you mean 'power'?",
        ),
    ],
)
def test_problem_caused_elsewhere_names_the_setting_to_mend(override, path, message):
    assert problems(override) == {path: message}


@pytest.mark.parametrize(
    ("classifiers", "path", "message"),
    [
        ("[]", "", "must be a list of at least one classifier, got []"),
        ("crt", "", "must be a list of at least one classifier, got 'crt'"),
        ("{name: crt}", "", "must be a list of at least one classifier, got {'name': 'crt'}"),
        ("[tau_nrm]", ".0", "unknown classifier 'tau_nrm'; did you mean 'tau_norm'?"),
        ("[joint, 3]", ".1", "must be a name or {name, ...parameters}, got 3"),
        ("[null]", ".0", "must be a name or {name, ...parameters}, got null"),
        ("[{nme: crt}]", ".0.name", "is required; choose from balanced_softmax, "),
        ("[{name: [crt]}]", ".0.name", "is required"),
        ("[{name: tau_norm, tua: 1}]", ".0.tua", "unknown parameter of classifier tau_norm; did you mean"),
        ("[{name: tau_norm, tau: best}]", ".0.tau", "must be a number ≥ 0 or validation, got 'best'"),
        ("[{name: joint, x: 1}]", ".0.x", "unknown parameter of classifier joint; it has none"),
        ("[{name: crt, sampler: {name: powr}}]", ".0.sampler", "unknown sampler 'powr'; did you mean"),
        ("[{name: crt, sampler: {name: power, q: x}}]", ".0.sampler.q", "must be a number ≥ 0, got 'x'"),
        ("[{name: crt, sampler: {q: 1}}]", ".0.sampler.name", "is required"),
        ("[{name: crt, random_state: 3}]", ".0.random_state", "unknown parameter of classifier crt"),
        ("[joint, crt, joint]", ".2", "repeats {'name': 'joint'}"),
        ("[crt, {name: crt, lr: 0.2}]", ".1", "repeats {'name': 'crt'}"),
    ],
)  # fmt: skip
def test_problem_in_classifiers_names_its_row(classifiers, path, message):
    reported = problems(f"classifiers={classifiers}")
    assert list(reported) == [f"classifiers{path}"]
    assert reported[f"classifiers{path}"].startswith(message)


def test_same_classifier_with_other_parameters_is_no_repetition():
    config = load_config(
        "digits_lt", ["classifiers=[tau_norm, {name: tau_norm, tau: 1}, {name: tau_norm, tau: 0.5}]"]
    )
    assert len(config.classifiers) == 3


def test_every_problem_is_reported_at_once():
    reported = problems(
        "seed=-1",
        "sed=1",
        "data.max_count=0",
        "data.foo=1",
        "representation.epochs=0",
        "representation.epohcs=1",
        "representation.sampler=powr",
        "representation.augment.pad=-1",
        "representation.optimizer.momentum=0",
        "features.dtype=float8",
        "classifiers=[joint, joint, {name: crt, lr: 0, loss: x}, 3]",
        "evaluation.few=51",
        "system.threads=0",
    )
    assert set(reported) == {
        "seed", "sed", "data.max_count", "data.foo", "representation.epochs", "representation.epohcs",
        "representation.sampler", "representation.augment.pad", "representation.optimizer.nesterov",
        "features.dtype", "classifiers.1", "classifiers.2.lr", "classifiers.2.loss", "classifiers.3",
        "evaluation.few", "system.threads",
    }  # fmt: skip


def test_config_without_data_is_refused_with_its_other_problems(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, "a.yaml", "seed: -1"))
    assert {p.path: p.message for p in caught.value.problems} == {
        "data": "is required",
        "seed": "must be an integer ≥ 0, got -1",
    }


def test_data_set_without_its_required_parameter_is_refused():
    assert problems("data=feature_arrays", "representation=null") == {
        "data.root": "is required; it must be a path"
    }


def test_features_with_a_representation_are_refused_with_other_problems():
    assert problems("seed=-1", "data=feature_arrays") == {
        "seed": "must be an integer ≥ 0, got -1",
        "data.root": "is required; it must be a path",
        "representation": "must be left out: feature_arrays holds features already",
    }


def test_features_have_no_representation():
    config = load_config("features")
    assert config.representation is None and config.full()["representation"] is None
    assert problems("representation.epochs=3", config="features") == {
        "representation": "must be left out: feature_arrays holds features already"
    }


def test_settings_of_a_config_cannot_be_changed():
    config = load_config("digits_lt")
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 1


def test_nothing_of_a_config_runs(tmp_path):
    path = tmp_path / "made-by-a-config"
    for value in (f"__import__('os').mkdir('{path}')", "${HOME}", "{{ 1 + 1 }}"):
        with pytest.raises(ConfigError):
            check_config({"data": {"name": value}})
        with pytest.raises(ConfigError):
            check_config({"data": "digits", "seed": value})
    assert not path.exists()
