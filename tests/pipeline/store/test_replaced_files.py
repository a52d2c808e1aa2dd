"""Files of a finished classifier that are replaced: killed between them, it stays finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from longtail.pipeline.files.publish import json_file, publish_bytes, publish_json
from longtail.pipeline.store.store import Store
from tests.pipeline.store.results import finished_result

NAME, FILE = "0" * 16, "result.json"
EARLIER, LATER = (finished_result(run=NAME, seconds=seconds) for seconds in (1.0, 2.0))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A root with one finished classifier."""
    store = Store(tmp_path)
    publish_json(store.folder("classifiers", NAME) / FILE, EARLIER.to_json())
    store.finish("classifiers", NAME, {"classifier": "ncm"}, [FILE])
    return store


def test_announced_file_is_read_before_and_after_it_is_replaced(store):
    content = json_file(LATER.to_json())
    store.announce("classifiers", NAME, {FILE: content})
    assert store.result(NAME) == EARLIER
    publish_bytes(store.folder("classifiers", NAME) / FILE, content)
    assert store.result(NAME) == LATER
    store.finish("classifiers", NAME, {"classifier": "ncm"}, [FILE])
    assert store.result(NAME) == LATER and "coming" not in store.done("classifiers", NAME)
    publish_json(store.folder("classifiers", NAME) / FILE, EARLIER.to_json())
    assert store.result(NAME) is None  # no longer answered for


def test_file_that_was_not_announced_is_refused(store):
    store.announce("classifiers", NAME, {FILE: json_file(LATER.to_json())})
    publish_json(store.folder("classifiers", NAME) / FILE, finished_result(run=NAME, seconds=3.0).to_json())
    assert store.result(NAME) is None


def test_what_is_not_finished_is_not_announced(store):
    store.announce("classifiers", "1" * 16, {FILE: b"{}"})
    assert not store.folder("classifiers", "1" * 16).exists()
