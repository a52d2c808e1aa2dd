"""What a person sees while work goes on: verbosity, colours, time left, shell completion, the schema."""

import json
import logging
import os
import re

import jsonschema
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from longtail.pipeline.cli import cli
from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.loading import load_config
from longtail.pipeline.config.recipes import find, read_settings, shipped
from longtail.pipeline.config.schema import schema
from longtail.pipeline.process.progress import CountProgress, TimeLeft, duration
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.states import run_progress, run_state
from longtail.pipeline.training.tensorboard import numbers
from longtail.pipeline.work.execute import run_stage_one
from tests.training_runs import folder_of

# -- verbosity --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "level"), [([], logging.INFO), (["-v"], logging.DEBUG), (["-q"], logging.WARNING)]
)
def test_verbosity_sets_what_is_let_through(options, level):
    logger = logging.getLogger("longtail")
    logger.setLevel(logging.INFO)
    assert CliRunner().invoke(cli, [*options, "list", "heads"]).exit_code == 0
    assert logger.level == level
    logger.setLevel(logging.INFO)


def test_verbose_and_quiet_together_are_refused():
    outcome = CliRunner().invoke(cli, ["-v", "-q", "list"])
    assert outcome.exit_code == 2 and "exclude each other" in outcome.output


def test_colour_is_for_terminals_without_no_color(monkeypatch):
    from longtail.pipeline.verbs.console import _coloured

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert _coloured("error:", "red") == "error:"  # pytest's standard error is no terminal
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert _coloured("error:", "red") == "\x1b[31merror:\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert _coloured("error:", "red") == "error:"


# -- time left --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (89, "89 s"),
        (600, "10 min"),
        (5399, "90 min"),
        (7200, "2.0 h"),
        (2 * 86_400 - 1, "48.0 h"),
        (9.2 * 86_400, "9 days"),
        (2e23, "over 2 years"),
        (float("inf"), "over 2 years"),
    ],
)
def test_durations_read_as_a_person_would_write_them(seconds, text):
    assert duration(seconds) == text


def test_time_left_goes_by_tasks_that_were_worked_on(monkeypatch):
    clock = iter([0.0, 0.0, 0.1, 60.1, 180.1])  # made; then as each of four tasks begins
    monkeypatch.setattr("longtail.pipeline.process.progress.time.monotonic", lambda: next(clock))
    left = TimeLeft(4)
    # The first was done before (0.1 s); the others take one and two minutes.
    assert [left.next() for _ in range(4)] == ["", "", ", 2 min left", ", 90 s left".replace("90 s", "2 min")]


def test_what_takes_long_says_a_line_a_minute_where_there_is_no_terminal(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "longtail")
    clock = [0.0]
    monkeypatch.setattr("longtail.pipeline.process.progress.time.monotonic", lambda: clock[0])
    with CountProgress(100, "picture", "predicting") as done:
        for _ in range(10):
            clock[0] += 24.0
            done(10)
    assert [record.message for record in caplog.records] == [
        "predicting, pictures: 30 of 100, 0.417/s, 3 min left",
        "predicting, pictures: 60 of 100, 0.417/s, 2 min left",
        "predicting, pictures: 90 of 100, 0.417/s, 24 s left",
    ]


def test_state_of_a_run_under_way_includes_the_remaining_time(digits, store):
    config = digits("representation.epochs=3")
    run_stage_one(config, store)
    folder = folder_of(config, store)
    assert "left for" not in run_state(store, folder.name)
    (folder / "DONE").unlink()
    rows = (folder / "history.jsonl").read_text().splitlines(keepends=True)
    (folder / "history.jsonl").write_text("".join(rows[:2]))
    state = run_state(store, folder.name)
    assert re.search(r"^state: under way, 2 epochs done, last written \d+ s ago$", state, re.MULTILINE)
    assert re.search(r"^\d+ s left for 3 epochs$", state, re.MULTILINE)
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    state = run_state(store, folder.name)
    assert re.search(
        r"^state: stopped, 2 epochs done, last written .* ago; run it again to go on$", state, re.M
    )
    assert "left for" not in state


def test_a_run_that_died_before_its_first_file_is_shown(tmp_path):
    (tmp_path / "representations" / "0123456789abcdef").mkdir(parents=True)
    lines = run_progress(Store(tmp_path), "0123456789abcdef", [])
    assert re.search(r"^state: under way, 0 epochs done, last written \d+ s ago$", lines[1])


# -- TensorBoard ------------------------------------------------------------------------------------------


def test_numbers_of_a_history_row_have_names_for_tensorboard():
    row = {"epoch": 3, "loss": 0.5, "validation": {"accuracy": 0.75, "many": None}, "loss_state": {"tau": 1}}
    assert numbers(row) == {"loss": 0.5, "validation/accuracy": 0.75, "loss_state/tau": 1.0}


def test_tensorboard_gets_every_epoch_once_through_a_resume(digits, store, stop_at_save):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = digits("representation.epochs=3", "system.tensorboard=true")
    stop_at_save(2)  # the second epoch is saved and not yet written
    with pytest.raises(KeyboardInterrupt):
        run_stage_one(config, store)
    run_stage_one(config, store)
    events = EventAccumulator(str(folder_of(config, store) / "tensorboard")).Reload()
    history = (folder_of(config, store) / "history.jsonl").read_text().splitlines()
    losses = {row["epoch"]: row["loss"] for row in map(json.loads, history)}
    written = {event.step: event.value for event in events.Scalars("loss")}
    assert written == {epoch: pytest.approx(losses[epoch]) for epoch in (1, 3)}
    assert "validation/balanced_accuracy" in events.Tags()["scalars"]


# -- shell completion -------------------------------------------------------------------------------------


def offered(*words: str) -> list[str]:
    *given, incomplete = words
    shell = ShellComplete(cli, {}, "longtail", "_LONGTAIL_COMPLETE")
    return [item.value for item in shell.get_completions(given, incomplete)]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["ru"], {"run"}),
        (["run", "digits"], {"digits_lt"}),
        (["report", "fashion_mnist_lt_s"], {"fashion_mnist_lt_small"}),
        (["run", "digits_lt", "representation.hea"], {"representation.head="}),
        (["run", "digits_lt", "representation.loss=bal"], {"representation.loss=balanced_softmax"}),
        (["run", "digits_lt", "representation.loss", "=", "bal"], {"balanced_softmax"}),  # as bash splits it
        (["run", "digits_lt", "evaluation.protocol", "="], {"validation", "paper"}),
        (["run", "./configs/digits"], {"./configs/digits_lt.yaml"}),
        (["run", "./conf"], {"./configs/"}),
        (["run", "digits_lt", "representation.optimizer.nes"], {"representation.optimizer.nesterov="}),
        (["run", "digits_lt", "representation.optimizer.nesterov="],
         {f"representation.optimizer.nesterov={word}" for word in ("true", "false")}),
        (["run", "digits_lt", "evaluation.protocol=p"], {"evaluation.protocol=paper"}),
        (["run", "digits_lt", "data.profile=s"], {"data.profile=step"}),
        (["predict", "digits_lt", "--classifier", "tau"], {"tau_norm"}),
        (["report", "digits_lt", "see"], {"seed="}),
        (["list", "we"], {"weightings"}),
    ],
)  # fmt: skip
def test_completion_offers_what_fits(words, wanted):
    assert set(offered(*words)) == wanted


def test_completion_survives_a_configuration_that_cannot_be_read():
    assert "representation.loss=" in offered("run", "no_such_file.yaml", "representation.lo")


# -- the schema -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator():
    described = schema()
    jsonschema.Draft202012Validator.check_schema(described)
    return jsonschema.Draft202012Validator(described)


@pytest.mark.parametrize("name", shipped())
def test_every_recipe_as_written_merged_and_in_full_fits_the_schema(validator, name):
    settings, _ = read_settings(name)
    validator.validate(settings)
    path = find(name)
    validator.validate(strict_yaml.load(path.read_text(encoding="utf-8"), str(path)))
    full = load_config(name).full()
    full.pop("sweep", None)  # expanded into trials there
    validator.validate(strict_yaml.load(strict_yaml.dump(full), name))


@pytest.mark.parametrize(
    "wrong",
    [
        {"sead": 1},
        {"seed": -1},
        {"representation": {"loss": "crossentropy"}},
        {"representation": {"loss": {"name": "focal", "gama": 2}}},
        {"representation": {"loss": {"gama": 2}}},
        {"representation": {"sampler": {"name": "power", "q": "much"}}},
        {"classifiers": []},
        {"evaluation": {"protocol": "test"}},
    ],
)
def test_what_the_configuration_refuses_the_schema_refuses(validator, wrong):
    assert not validator.is_valid({"data": "digits", **wrong})


def test_schema_is_printed_alone():
    outcome = CliRunner().invoke(cli, ["show", "--schema"])
    assert json.loads(outcome.output) == schema()
    assert CliRunner().invoke(cli, ["show", "digits_lt", "--schema"]).exit_code == 2
