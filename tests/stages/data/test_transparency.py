"""Transparent pictures, however files say so, are seen as a person sees them on the background asked for."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.stages.data import DATASETS, Request
from longtail.stages.data.pictures import transparency
from longtail.stages.data.pictures.augment import Augment
from longtail.stages.data.pictures.on_disk import ImageFiles
from longtail.stages.data.pictures.read_picture import decode, open_picture
from longtail.stages.data.pictures.reading.channels import as_picture
from longtail.stages.data.pictures.settings import PictureSettings
from longtail.stages.data.pictures.transparency import fitting_background, is_transparent
from tests.stages.data.drawn_pictures import (
    COLOUR,
    COLOUR_ALPHA,
    GREY,
    GREY_ALPHA,
    PALETTE,
    dark_glyph,
    glyph,
    png,
    write_glyphs,
)
from tests.stages.data.written_sets import picture

SEEN = [0, 85, 170, 255]  # what the four pixels of a row are on white, the last one clear


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


def of_colours(values: list[int], bits: int) -> bytes:
    pixels = [value for value in values for _ in range(3)]
    return bytes(pixels) if bits == 8 else words(*(257 * value for value in pixels))


# Rows of four pixels, the last of them 50 or nearest to that, and declared transparent: bits, kind, row, tRNS.
ONE_CLEAR_VALUE = {
    "2-bit grey": (2, GREY, bytes([0b00_01_10_00]), words(0)),
    "4-bit grey": (4, GREY, bytes([0x05, 0xA3]), words(3)),
    "8-bit grey": (8, GREY, bytes([0, 85, 170, 50]), words(50)),
    "16-bit grey": (16, GREY, words(0, 257 * 85, 257 * 170, 257 * 50 + 1), words(257 * 50 + 1)),
    "8-bit colour": (8, COLOUR, of_colours([0, 85, 170, 50], 8), words(50, 50, 50)),
    "16-bit colour": (16, COLOUR, of_colours([0, 85, 170, 50], 16), words(*[257 * 50] * 3)),
    "8-bit grey and alpha": (8, GREY_ALPHA, bytes([0, 255, 85, 255, 170, 255, 50, 0]), b""),
    "16-bit grey and alpha": (16, GREY_ALPHA, words(0, 65535, 257 * 85, 65535, 257 * 170, 65535, 9, 0), b""),
    "8-bit colour and alpha": (
        8,
        COLOUR_ALPHA,
        bytes([0, 0, 0, 255, 85, 85, 85, 255, 170, 170, 170, 255, 50, 50, 50, 0]),
        b"",
    ),  # fmt: skip
}


@pytest.mark.parametrize("written", ONE_CLEAR_VALUE)
def test_clear_pixels_are_white_in_every_pixel_format(tmp_path, written):
    bits, kind, row, clear = ONE_CLEAR_VALUE[written]
    path = tmp_path / "x.png"
    path.write_bytes(png((4, 1), bits, kind, row, clear=clear))
    seen = [255, 85, 170, 255] if written == "2-bit grey" else SEEN  # two bits have no fifth value
    assert is_transparent(path)
    for mode, channels in (("rgb", 3), ("gray", 1)):
        pixels = np.asarray(open_picture(path, mode)).reshape(4, channels)
        assert pixels.tolist() == [[value] * channels for value in seen]
    with_alpha = np.asarray(open_picture(path, "gray", "alpha")).reshape(4, 2)
    assert (with_alpha[:, 1] == 0).tolist() == [value == 255 for value in seen]


@pytest.mark.parametrize(
    ("form", "suffix"),
    [
        *((form, suffix) for suffix in (".png", ".webp") for form in ("RGBA", "LA", "P")),
        *((form, suffix) for suffix in (".tif", ".tga") for form in ("RGBA", "LA")),
        ("RGBA", ".gif"),
        ("RGBA", ".ico"),
    ],
)
def test_a_glyph_on_a_transparent_ground_is_read_like_one_on_white(tmp_path, form, suffix):
    opacity = np.where(glyph(3, 0, 16) > 0, 255, 0).astype(np.uint8)
    path = tmp_path / f"x{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {"sizes": [(16, 16)]} if suffix == ".ico" else {}
    dark_glyph(opacity, form).save(path, **options)
    on_white = np.asarray(dark_glyph(opacity, "white"))
    assert is_transparent(path)
    assert np.array_equal(open_picture(path, "rgb"), on_white)


def opaque_pictures(folder: Path) -> list[Path]:
    """Pictures that could be transparent by their header, and others that cannot; none is."""
    colour = picture()
    full = colour.copy()
    full.putalpha(255)
    colour.save(folder / "colour.jpg")
    colour.save(folder / "colour.png")
    colour.quantize(8).save(folder / "palette.png")
    colour.quantize(8).save(folder / "unused.png", transparency=bytes([255, 255]))
    colour.convert("1").save(folder / "two.png")
    full.save(folder / "full.png")
    full.convert("LA").save(folder / "full-grey.png")
    unused = colour.copy()
    unused.putalpha(0)
    unused.save(folder / "nobody-used-it.tga")
    return sorted(folder.iterdir())


def test_opaque_pictures_are_what_they_were_without_a_background(tmp_path):
    for path in opaque_pictures(tmp_path):
        with Image.open(path) as opened:
            image = opened.convert("RGBA") if "transparency" in opened.info else opened
            plain = {"rgb": image.convert("RGB"), "gray": image.convert("L")}
        assert not is_transparent(path), path
        for mode, expected in plain.items():
            for background in ("white", "black", "#102030"):
                assert np.array_equal(open_picture(path, mode, background), expected), (path, mode)
            alpha = np.asarray(open_picture(path, mode, "alpha"))
            assert np.array_equal(alpha[..., :-1].squeeze(), expected) and (alpha[..., -1] == 255).all()


def test_only_pictures_with_alpha_in_the_header_are_decoded_to_look_for_it(tmp_path, monkeypatch):
    looked_at = []
    monkeypatch.setattr(transparency, "decoded", lambda image: looked_at.append(image.filename) or image)
    for path in opaque_pictures(tmp_path):
        is_transparent(path)
    assert {Path(name).stem for name in looked_at} == {"full", "full-grey", "unused", "nobody-used-it"}


def test_what_cannot_be_read_is_not_transparent(tmp_path):
    (tmp_path / "x.png").write_bytes(png((4, 1), 8, GREY_ALPHA, b"", header_only=True))
    (tmp_path / "large.png").write_bytes(png((40_000, 40_000), 8, GREY_ALPHA, b"", header_only=True))
    assert not is_transparent(tmp_path / "x.png") and not is_transparent(tmp_path / "large.png")
    assert not is_transparent(tmp_path / "nowhere.png")


@pytest.mark.parametrize(
    ("background", "rgb", "grey"),
    [
        ("white", (255, 255, 255), 255),
        ("black", (0, 0, 0), 0),
        ("gray", (128, 128, 128), 128),
        ("#ff0080", (255, 0, 128), 91),  # 0.299·255 + 0.114·128
        ("#FF0080", (255, 0, 128), 91),
    ],
)
def test_a_clear_pixel_has_the_colour_of_the_background(tmp_path, background, rgb, grey):
    Image.new("RGBA", (2, 2), (9, 200, 90, 0)).save(tmp_path / "x.png")
    assert open_picture(tmp_path / "x.png", "rgb", background).getpixel((0, 0)) == rgb
    assert open_picture(tmp_path / "x.png", "gray", background).getpixel((1, 1)) == grey


def test_a_half_opaque_pixel_is_half_of_each(tmp_path):
    Image.new("RGBA", (1, 1), (200, 100, 0, 128)).save(tmp_path / "x.png")
    assert open_picture(tmp_path / "x.png", "rgb", "black").getpixel((0, 0)) == (100, 50, 0)
    assert decode(tmp_path / "x.png", (1, 1), "rgb", background="alpha").tolist() == [[[100, 50, 0, 128]]]
    assert decode(tmp_path / "x.png", (1, 1), "gray", background="alpha").tolist() == [[[59, 128]]]


@pytest.mark.parametrize("background", ["white", "alpha"])
@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("mode", ["rgb", "gray"])
def test_colours_that_nobody_sees_do_not_matter_at_any_size(tmp_path, background, in_memory, mode):
    opacity = glyph(2, 0, 15)
    seen = {}
    for name, hidden in (("dark", 10), ("noise", np.random.default_rng(0).integers(0, 256, (15, 15)))):
        (tmp_path / name / "a").mkdir(parents=True)
        colour = np.where(opacity > 0, 10, hidden).astype(np.uint8)
        pixels = np.dstack([colour, colour, colour, opacity])
        Image.fromarray(pixels).save(tmp_path / name / "a" / "x.png")
        splits = DATASETS.create(
            "image_folder", root=str(tmp_path / name), image_size=8, in_memory=in_memory, mode=mode,
            background=background, mean=None, validation_per_class=0, test_per_class=0, workers=1,
        )  # fmt: skip
        preprocessing = splits.train.preprocessing
        assert preprocessing.background == background
        seen[name] = preprocessing.reader()(tmp_path / name / "a" / "x.png")
        mean, std = (torch.tensor(splits.train.constants[key]).view(-1, 1, 1) for key in ("mean", "std"))
        read = torch.from_numpy(seen[name].copy()).permute(2, 0, 1)
        torch.testing.assert_close(splits.train.batch([0])[0] * std + mean, read.float(), rtol=0, atol=1e-3)
        assert splits.input_shape == (read.shape[0], 8, 8)
    assert np.array_equal(seen["dark"], seen["noise"]) and seen["dark"].std() > 10


def test_augmentation_leaves_clear_pixels_clear_and_opacity_as_it_is(tmp_path):
    pixels = np.zeros((24, 24, 4), np.uint8)
    pixels[:12] = (200, 100, 50, 255)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    part = ImageFiles(
        tmp_path, ["x.png"] * 8, [0] * 8, PictureSettings(image_size=20, background="alpha", workers=1)
    )
    augment = Augment(pad=2, flip=True, jitter=0.4, resized_crop=0.5)
    ((images, _),) = part.stream([Request(np.arange(8), (0, "augment", 0, 0))], augment)
    mean, std = (torch.tensor(part.constants[key]).view(-1, 1, 1) for key in ("mean", "std"))
    seen = (images * std + mean).round()
    alpha, colours = seen[:, 3:], seen[:, :3]
    assert {0.0, 255.0} <= set(alpha.unique().tolist())
    assert (colours <= alpha).all() and (colours[(alpha == 0).expand_as(colours)] == 0).all()
    assert len(colours.amax((1, 2, 3)).unique()) > 4  # jitter did change the colours


def test_pictures_with_alpha_are_shown_on_white():
    pixels = np.array([[[0, 0, 0, 0], [10, 20, 30, 255], [50, 50, 50, 100]]], np.uint8)
    assert np.asarray(as_picture(pixels)).tolist() == [[[255] * 3, [10, 20, 30], [205] * 3]]
    assert np.asarray(as_picture(pixels[..., 2:])).tolist() == [[255, 30, 205]]
    assert as_picture(pixels[..., :1]).mode == "L" and as_picture(pixels[..., :3]).mode == "RGB"


@pytest.mark.parametrize(
    ("colours", "fitting"),
    [([10] * 20, "white"), ([128] * 20, "white"), ([250] * 20, "black"), ([10, 250] * 10, "gray"),
     ([10, 128, 250] * 7, "alpha")],
)  # fmt: skip
def test_the_fitting_background_is_one_that_every_picture_differs_from(tmp_path, colours, fitting):
    opacity = np.where(glyph(1, 0) > 0, 255, 0).astype(np.uint8)
    for number, colour in enumerate(colours):
        flat = np.full_like(opacity, colour)
        Image.fromarray(np.dstack([flat, opacity])).save(tmp_path / f"{number:02d}.png")
    picture().save(tmp_path / "opaque.png")
    assert fitting_background(sorted(tmp_path.iterdir())) == (len(colours), fitting)


def test_pictures_in_folders_are_the_same_in_every_form(tmp_path):
    """The glyphs that were one black while their ground was thrown away."""
    sets = {form: write_glyphs(tmp_path / form, form, count=3) for form in ("white", "RGBA", "LA", "P")}
    read = {
        form: DATASETS.create(
            "image_folder", root=str(root), image_size=12, validation_per_class=0, test_per_class=0
        ).train.images.numpy()
        for form, root in sets.items()
    }
    for form, pixels in read.items():
        np.testing.assert_allclose(pixels.astype(int), read["white"], rtol=0, atol=1, err_msg=form)
    assert is_transparent(next(sets["P"].rglob("*.png"))) and PALETTE
