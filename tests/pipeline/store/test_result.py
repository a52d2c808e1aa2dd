"""Results as the types that code reads them into."""

from __future__ import annotations

import json

import pytest

from longtail.pipeline.store.result import Result, shown_name
from tests.pipeline.store.results import finished_result, run_settings


def test_a_result_file_is_read_and_written_byte_for_byte(digits_run):
    paths = sorted((digits_run[0] / "classifiers").glob("*/result.json"))
    assert len(paths) == 5
    for path in paths:
        text = path.read_text(encoding="utf-8")
        again = Result.from_json(json.loads(text)).to_json()
        assert json.dumps(again, indent=1, ensure_ascii=False) + "\n" == text


def test_fields_that_older_files_lack_have_a_value():
    record = finished_result().to_json()
    del record["class_samples"], record["settings"]["all"], record["settings"]["views"]
    result = Result.from_json(record)
    assert result == finished_result(settings=run_settings(views=0, all={}))
    assert result.samples("test") is None


def test_a_file_of_a_later_version_is_read_without_what_is_unknown():
    record = finished_result().to_json()
    assert Result.from_json({**record, "mood": "good"}) == finished_result()


@pytest.mark.parametrize("field", ["run", "metrics", "settings", "class_counts"])
def test_a_file_without_another_field_is_refused(field):
    record = finished_result().to_json()
    del record[field]
    with pytest.raises(ValueError, match=f"lacks {field}"):
        Result.from_json(record)


@pytest.mark.parametrize("change", [[], {"settings": []}])
def test_a_file_of_another_kind_is_refused(change):
    record = {**finished_result().to_json(), **change} if change else change
    with pytest.raises(ValueError, match="must be a mapping, got list"):
        Result.from_json(record)


def test_settings_that_do_not_apply_are_not_written():
    given = run_settings(epochs=None, reached=None)
    assert list(given.to_json()) == ["data", "checkpoint", "views", "dtype", "all"]
    assert list(given.main) == ["data", "checkpoint", "views", "dtype"]
    assert run_settings(position=0).to_json()["position"] == 0


def test_joint_without_a_trained_head_is_named_linear():
    assert finished_result().label == "joint"
    assert finished_result(settings=run_settings(epochs=0)).label == "joint (linear)"
    assert finished_result(settings=run_settings(epochs=None)).label == "joint (linear)"
    assert shown_name("ncm", 0) == "ncm"


def test_description_names_classifier_id_and_parameters():
    result = finished_result(classifier="knn", params={"k": 5, "vote": "plain"})
    assert result.description == "knn 0123456789abcdef (k=5, vote=plain)"
    assert finished_result().description == "joint 0123456789abcdef"


def test_shown_params_are_those_given_and_those_chosen():
    result = finished_result(params={"tau": "validation"}, fitted={"tau_": 0.5, "is_linear_fit_": True})
    assert result.shown_params == {"tau": "validation", "tau_": 0.5}


def test_a_split_that_was_not_judged_has_no_balanced_accuracy():
    result = finished_result(metrics={"val": {"balanced_accuracy": 0.0}})
    assert result.balanced_accuracy("val") == 0.0
    assert result.balanced_accuracy("test") is None
