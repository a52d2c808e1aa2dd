"""Sets of transparent pictures, from training to prediction, show what the same pictures show on white."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.errors import ConfigError, LongtailError
from longtail.pipeline.page.figures.confusion import png
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.splits import load_splits
from longtail.pipeline.training.trainee_building import build
from longtail.pipeline.work.execute import run_stage_two
from longtail.stages.backbones import BACKBONES
from tests.command_line import failed, longtail, ok
from tests.stages.data.drawn_pictures import write_glyphs

CHANCE = 25.0  # percent, of four classes


def config_of(folder, *data: str, representation: str = "epochs: 8, batch_size: 16") -> str:
    """The path of a configuration for the pictures in ``folder/set``."""
    settings = ", ".join(["name: image_folder", f"root: '{folder / 'set'}'", "image_size: 12", *data])
    path = folder / "set.yaml"
    path.write_text(
        f"data: {{{settings}, test_per_class: 8, validation_per_class: 2}}\n"
        f"representation: {{backbone: small_cnn, {representation}}}\nclassifiers: [joint]\n"
        "system: {threads: 1, workers: 1, device: cpu}\n"
    )
    return str(path)


def accuracy(folder, form: str, *data: str) -> float:
    """Balanced accuracy, in percent, of `joint` on glyphs that are saved in `form`."""
    write_glyphs(folder / "set", form)
    (result,) = run_stage_two(load_config(config_of(folder, *data)), Store(folder / "root"))
    return 100 * result.metrics["test"]["balanced_accuracy"]


def test_dark_glyphs_on_transparency_are_learned_as_well_as_on_white(tmp_path):
    on_white = accuracy(tmp_path / "white", "white")
    assert on_white > 2 * CHANCE
    for form in ("RGBA", "LA", "P"):
        assert abs(accuracy(tmp_path / form, form) - on_white) <= 3, form


def test_on_their_own_colour_the_glyphs_cannot_be_seen(tmp_path):
    with pytest.warns(UserWarning, match="96 pictures show one colour all over"):
        assert accuracy(tmp_path, "RGBA", "background: '#0a0a0a'") == CHANCE


@pytest.mark.parametrize("in_memory", ["true", "false"])
def test_a_kept_alpha_channel_goes_from_training_to_prediction_and_export(tmp_path, in_memory):
    write_glyphs(tmp_path / "set", "RGBA", count=16)
    config = config_of(
        tmp_path, "background: alpha", f"in_memory: {in_memory}", representation="epochs: 1, batch_size: 16"
    )
    ok("--root", tmp_path / "root", "run", config)
    paths = sorted((tmp_path / "set" / "2").iterdir())[:2]
    Image.open(paths[0]).convert("RGBA").save(tmp_path / "again.webp", lossless=True)
    told = ok(
        "--root", tmp_path / "root", "predict", config, paths[0], tmp_path / "again.webp", "--format", "json"
    )
    one, again = (entry["predictions"] for entry in json.loads(told.out))
    assert one == again and len(one) == 4
    splits = load_splits(load_config(config))
    assert splits.input_shape == (4, 12, 12)
    assert png(splits.val, 0).startswith(b"\x89PNG")
    ok("--root", tmp_path / "root", "export", config, tmp_path / "model.pt2")
    metadata = exported_metadata(tmp_path / "model.pt2")
    assert json.loads(metadata["background"]) == "alpha" and len(json.loads(metadata["mean"])) == 4


def exported_metadata(path) -> dict[str, str]:
    extra = {"longtail.json": ""}
    torch.export.load(path, extra_files=extra)
    return json.loads(extra["longtail.json"])


@pytest.mark.parametrize(
    ("backbone", "weights"), [("resnet18", "torchvision"), ("timm/resnet10t.c3_in1k", "timm")]
)
def test_published_weights_are_refused_for_pictures_with_alpha(tmp_path, backbone, weights):
    path = config_of(tmp_path, "background: alpha")
    with pytest.raises(ConfigError, match=r"representation\.weights: .* got data\.background=alpha"):
        load_config(path, [f"representation.backbone={backbone}", f"representation.weights={weights}"])


def test_weights_in_a_file_that_take_three_channels_are_refused_with_the_way_out(tmp_path):
    write_glyphs(tmp_path / "set", "RGBA", count=12)
    torch.save(BACKBONES.create("small_cnn").state_dict(), tmp_path / "colour.pth")
    config = load_config(
        config_of(tmp_path, "background: alpha"), [f"representation.weights={tmp_path / 'colour.pth'}"]
    )
    with pytest.raises(LongtailError, match=r"data\.background=white lays them on white"):
        build(config, load_splits(config), "cpu", "float32", False)


def test_predict_counts_what_it_passes_over_and_names_pictures_that_are_too_large(tmp_path):
    write_glyphs(tmp_path / "set", "LA", count=12)
    config = config_of(tmp_path, "max_pixels: 144", representation="epochs: 1, batch_size: 16")
    ok("--root", tmp_path / "root", "run", config)
    new = tmp_path / "new"
    new.mkdir()
    (new / "x.heic").touch()
    lines = failed(1, "--root", tmp_path / "root", "predict", config, new)
    assert "holds no picture" in lines[-1] and "1 file not read: 1 .heic (needs pillow-heif)" in lines[-1]
    Image.fromarray(np.zeros((13, 12), np.uint8)).save(new / "large.png")
    Image.fromarray(np.zeros((12, 12), np.uint8)).save(new / "y.jfif", "JPEG")
    lines = longtail("--root", tmp_path / "root", "predict", config, new).err.splitlines()
    assert f"warning: {new}: 1 file not read: 1 .heic (needs pillow-heif)" in lines
    assert any(
        "large.png (has 12×13 pixels" in line and "data.max_pixels admits 144" in line for line in lines
    )


@pytest.mark.parametrize("verb", ["run", "show"])
def test_verbs_count_the_files_that_are_not_read(tmp_path, verb):
    write_glyphs(tmp_path / "set", "LA", count=12)
    for number in range(3):
        (tmp_path / "set" / "1" / f"{number}.heic").touch()
    config = config_of(tmp_path, representation="epochs: 1, batch_size: 16")
    told = ok("--root", tmp_path / "root", verb, config).err
    assert told.count("3 files not read: 3 .heic (needs pillow-heif)") == 1


def test_init_says_and_proposes_what_transparent_pictures_need(tmp_path):
    write_glyphs(tmp_path / "set", "LA", count=12)
    (tmp_path / "set" / "1" / "x.heic").touch()
    told = ok("init", tmp_path / "set", "--output", tmp_path / "first.yaml")
    assert "1 file not read: 1 .heic (needs pillow-heif)" in told.err
    assert "48 of 48 pictures sampled are transparent" in told.err
    written = (tmp_path / "first.yaml").read_text()
    assert "48 of 48 pictures sampled are transparent somewhere" in written and "background: white" in written
