"""What tests share: small configurations and throw-away output roots."""

from __future__ import annotations

import tempfile

import pytest
from hypothesis import configuration, settings

from longtail.pipeline.config.loading import Config, load_config
from longtail.pipeline.store.store import Store


def pytest_configure(config):
    """Keep what hypothesis remembers out of the checkout, and of the next run."""
    home = tempfile.TemporaryDirectory()
    config.add_cleanup(home.cleanup)
    configuration.set_hypothesis_home_dir(home.name)
    settings.register_profile("longtail", database=None)
    settings.load_profile("longtail")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "root")


@pytest.fixture(scope="session")
def digits():
    """``digits(*overrides)``: the shipped digits recipe for two epochs on one thread."""

    def make(*overrides: str) -> Config:
        return load_config("digits_lt", ["representation.epochs=2", "system.threads=1", *overrides])

    return make


@pytest.fixture(scope="session")
def page(digits, tmp_path_factory):
    """What `longtail report --html` writes of ``root`` beside it: five classifiers on each of two runs."""
    from longtail.pipeline.work.execute import run_stage_two
    from tests.pipeline.verbs.test_cli import longtail

    folder = tmp_path_factory.mktemp("page")
    for sampler in ("instance_balanced", "class_balanced"):
        run_stage_two(digits(f"representation.sampler={sampler}"), Store(folder / "root"))
    found = longtail("--root", folder / "root", "report", "--html", folder / "page.html")
    assert found.status == 0, found.err
    return folder / "page.html"


@pytest.fixture
def stop_at_save(monkeypatch):
    """``stop_at_save(3, 10)``: training dies, KeyboardInterrupt, right after its 3rd and 10th checkpoint."""
    from longtail.pipeline.training.checkpoint import Checkpoints

    def arrange(*numbers: int) -> None:
        save, calls = Checkpoints.save, []

        def save_then_die(self, *args, **options):
            said = save(self, *args, **options)
            calls.append(said)
            if len(calls) in numbers:
                raise KeyboardInterrupt
            return said

        monkeypatch.setattr(Checkpoints, "save", save_then_die)

    return arrange
