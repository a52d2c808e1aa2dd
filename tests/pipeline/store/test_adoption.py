"""Runs of versions that knew pictures by their names and sizes: found as before where that is honest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

from longtail.pipeline.config.loading import Config, load_config
from longtail.pipeline.store import identity
from longtail.pipeline.store.identity import data_identity, representation_id
from longtail.pipeline.store.inventory import FOREIGN, inventory
from longtail.pipeline.store.records.done import read_done, write_done
from longtail.pipeline.store.records.run_records import RUN_FILES
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.execute import run_stage_one, run_stage_two
from tests.command_line import failed, ok
from tests.picture_runs import exchange, on_pictures, write_grounds

LATER = "2100-01-01T00:00:00Z"  # than any file of a test was written


@pytest.fixture(scope="module")
def earlier(shared, tmp_path_factory) -> tuple[Path, Path]:
    """(root, pictures) of a run that an earlier version made."""

    def fill(folder: Path) -> None:
        pictures = write_grounds(folder / "pictures")
        with pytest.MonkeyPatch.context() as patch:
            known = identity._identities
            patch.setattr(identity, "_identities", lambda *asked: (known(*asked)[1], None))
            run_stage_two(config_on(pictures), Store(folder / "root"))
        make_earlier(folder / "root")

    folder = shared.make("earlier_picture_run", fill)
    return folder / "root", folder / "pictures"


def make_earlier(root: Path) -> None:
    """Let the run under `root` begin after its pictures were written, with an older ``DONE``."""
    (provenance,) = root.glob("representations/*/provenance.json")
    set_beginning(provenance, LATER)
    done = read_done(provenance.parent)[0]
    files = done.pop("files")  # of which earlier versions listed the weights alone
    write_done(provenance.parent, done, {f: files[f] for f in files if f not in RUN_FILES})


def set_beginning(provenance: Path, moment: str) -> None:
    provenance.write_text(json.dumps({**json.loads(provenance.read_text()), "began": moment}))


@pytest.fixture
def legacy(earlier, copy_of) -> Path:
    """A copy of that root."""
    return copy_of(earlier[0], "root")


@pytest.fixture
def pictures(earlier, copy_of) -> Path:
    """A copy of its pictures."""
    return copy_of(earlier[1], "pictures")


def config_on(pictures: Path, *overrides: str) -> Config:
    words = on_pictures(pictures, *overrides)
    return load_config(words[0], words[1:])


def is_found(root: Path, pictures: Path, *overrides: str) -> bool:
    """Whether all of a run is done."""
    out = ok("--root", root, "run", *on_pictures(pictures, *overrides), "--dry-run").out
    return out.count("done") == 4


def test_an_earlier_run_is_found_and_what_it_lacks_is_made_on_it(legacy, pictures):
    assert is_found(legacy, pictures)
    (run_id,) = (path.name for path in (legacy / "representations").iterdir())
    config = config_on(pictures, "classifiers=[tau_norm]")
    assert representation_id(Store(legacy), config) == run_id
    (result,) = run_stage_two(config, Store(legacy))
    assert result.representation == run_id
    assert len(list((legacy / "features").iterdir())) == 1
    assert not [item for item in inventory(Store(legacy)) if item.state == FOREIGN]


def test_the_earlier_identity_is_the_hash_of_names_sizes_and_classes(pictures):
    paths = sorted(pictures.rglob("*.bmp"))
    lines = [f"{p.relative_to(pictures)}\t{p.stat().st_size}\t{p.parent.name}\n" for p in paths]
    look = Store("nowhere", read_only=True).data_look("image_folder", {"root": str(pictures)})
    assert look.by_sizes == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_identity_is_the_hash_of_names_contents_and_classes(pictures):
    lines = [
        f"{p.relative_to(pictures)}\t{hashlib.sha256(p.read_bytes()).hexdigest()}\t{p.parent.name}\n"
        for p in sorted(pictures.rglob("*.bmp"))
    ]
    found = data_identity(Store("nowhere", read_only=True), config_on(pictures))["content"]
    assert found == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_ids_under_an_empty_root_do_not_know_of_earlier_runs(legacy, pictures, tmp_path):
    assert representation_id(Store(legacy), config_on(pictures)) != representation_id(
        Store(tmp_path / "empty"), config_on(pictures)
    )
    other_seed = config_on(pictures, "seed=1")
    assert representation_id(Store(legacy), other_seed) == representation_id(
        Store(tmp_path / "empty"), other_seed
    )


def test_an_adopted_run_belongs_to_the_content_it_was_adopted_for(legacy, pictures, tmp_path):
    run_id = representation_id(Store(legacy), config_on(pictures))
    exchange(pictures)
    assert not is_found(legacy, pictures)
    exchange(pictures, shift=0)  # their time stamps are later than those of the run's beginning could be
    assert representation_id(Store(legacy), config_on(pictures)) == run_id


def test_pictures_written_since_a_run_began_are_not_its_own(legacy, pictures, caplog):
    (provenance,) = legacy.glob("representations/*/provenance.json")
    set_beginning(provenance, "2000-01-01T00:00:00Z")
    assert not is_found(legacy, pictures)
    representation_id(Store(legacy), config_on(pictures))
    assert "some were written after it began" in caplog.text
    provenance.unlink()
    assert not is_found(legacy, pictures)


def test_a_run_on_transparent_pictures_is_not_adopted(tmp_path, monkeypatch, caplog):
    pictures = write_grounds(tmp_path / "pictures")
    with Image.open(pictures / "class1" / "0.bmp") as opaque:
        clear = opaque.convert("RGBA")
    clear.putpixel((3, 3), (10, 20, 30, 40))
    clear.save(pictures / "class1" / "clear.png")
    known = identity._identities
    with monkeypatch.context() as patch:
        patch.setattr(identity, "_identities", lambda *asked: (known(*asked)[1], None))
        run_stage_two(config_on(pictures), Store(tmp_path / "root"))
    make_earlier(tmp_path / "root")
    assert not is_found(tmp_path / "root", pictures)
    representation_id(Store(tmp_path / "root"), config_on(pictures))
    assert "without the transparency" in caplog.text


def test_training_goes_on_from_an_adopted_run(legacy, pictures):
    (run_id,) = (path.name for path in (legacy / "representations").iterdir())
    words = on_pictures(pictures, "representation.epochs=3", f"representation.init={run_id}")
    assert "going on from" in ok("--root", legacy, "represent", *words).err
    exchange(pictures)
    *_, message = failed(1, "--root", legacy, "represent", *words, "seed=1")
    assert "trained on other data" in message


def test_a_fresh_run_in_place_of_an_adopted_one_has_the_id_it_has_everywhere(legacy, pictures, tmp_path):
    (run_id,) = (path.name for path in (legacy / "representations").iterdir())
    config = config_on(pictures)
    one = run_stage_one(config, Store(legacy, one_command=True), fresh=True)
    assert one.id == representation_id(Store(tmp_path / "empty"), config) != run_id
    assert [path.name for path in (legacy / "representations").iterdir()] == [one.id]


def test_a_read_only_look_adopts_without_a_record(legacy, pictures):
    assert is_found(legacy, pictures)  # a dry run
    assert not list(legacy.glob("representations/*/content.json"))
    ok("--root", legacy, "report", *on_pictures(pictures))
    assert len(list(legacy.glob("representations/*/content.json"))) == 1
