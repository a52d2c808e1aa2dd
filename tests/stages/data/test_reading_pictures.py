"""Reading keeps what a person sees: profiles, formats, sizes; and what shows nothing is told of."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from longtail.stages.data import DATASETS
from longtail.stages.data.files import picture_files
from longtail.stages.data.files.passed_over import PassedOver
from longtail.stages.data.image_folder import image_folder
from longtail.stages.data.pictures.flat_pictures import flat_pictures
from longtail.stages.data.pictures.on_disk import ImageFiles
from longtail.stages.data.pictures.read_picture import open_picture
from longtail.stages.data.pictures.reading.colour_profiles import has_other_colours
from longtail.stages.data.pictures.reading.opening import opened
from tests.stages.data.drawn_pictures import COLOUR, png
from tests.stages.data.written_sets import picture, write_pictures

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def read_folder(root: Path, **params):
    return image_folder(**{"root": str(root), "image_size": 8, "workers": 1, **params})


# -- colour profiles --------------------------------------------------------------------------------------


def swapped() -> bytes:
    """A profile in which R is what is blue and B what is red."""
    return SRGB.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colours_are_those_of_the_embedded_profile(tmp_path, mode, suffix):
    image = Image.new("RGB", (4, 4), (250, 30, 10))
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    image.save(tmp_path / f"x{suffix}", icc_profile=swapped())
    seen = np.asarray(open_picture(tmp_path / f"x{suffix}", "rgb"), int)
    assert abs(seen - (10, 30, 250)).max() <= 2
    with opened(tmp_path / f"x{suffix}") as picture:
        assert has_other_colours(picture)


def test_alpha_outlives_the_conversion_of_colours(tmp_path):
    Image.new("RGBA", (1, 1), (250, 30, 10, 77)).save(tmp_path / "x.png", icc_profile=swapped())
    *colour, alpha = open_picture(tmp_path / "x.png", "rgb", "alpha").getpixel((0, 0))
    assert alpha == 77 and abs(np.subtract(colour, (10, 30, 250))).max() <= 4


@pytest.mark.parametrize(
    ("mode", "profile"),
    [("RGB", SRGB), ("L", SRGB), ("RGB", b"no profile"), ("L", swapped())],
    ids=["sRGB", "sRGB of grey", "no profile", "colours of grey"],  # profiles hold when they were made
)
def test_pixels_stay_as_they_are_by_srgb_and_by_profiles_that_do_not_fit(tmp_path, mode, profile):
    image = picture(mode=mode)
    image.save(tmp_path / "x.png", icc_profile=profile)
    assert np.array_equal(open_picture(tmp_path / "x.png", "rgb"), image.convert("RGB"))
    with opened(tmp_path / "x.png") as read:
        assert not has_other_colours(read)


# -- formats ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "form"),
    [
        (".jfif", "JPEG"), (".jpe", "JPEG"), (".avif", "AVIF"), (".jp2", "JPEG2000"), (".tga", "TGA"),
        (".ico", "PNG"), (".apng", "PNG"), (".pnm", "PPM"), (".png", "WEBP"), (".jpg", "TIFF"),
    ],
)  # fmt: skip
def test_pictures_are_recognised_by_content_whatever_they_are_called(tmp_path, suffix, form):
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    (tmp_path / "a").mkdir()
    smooth = np.linspace(40, 200, 64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(smooth).convert("RGB").save(tmp_path / "a" / f"x{suffix.upper()}", form)
    seen = read_folder(tmp_path).train.images[0].numpy()
    assert abs(seen.astype(int) - smooth[..., None]).max() <= 12


def test_of_several_frames_the_first_is_read(tmp_path):
    first, second = picture(1), picture(2)
    first.save(tmp_path / "x.tif", save_all=True, append_images=[second])
    assert np.array_equal(open_picture(tmp_path / "x.tif", "rgb"), first)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is HEIF .*pip install pillow-heif"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "in none of the formats that are read"),
        (b"%PDF-1.4\n", "in none of the formats"),
        (b"", "in none of the formats"),
    ],
)
def test_what_is_not_read_says_what_it_is(tmp_path, content, reason):
    write_pictures(tmp_path, {"a": 1})
    (tmp_path / "a" / "y.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=rf"y\.jpg \({reason}"):
        read_folder(tmp_path)


# -- too large --------------------------------------------------------------------------------------------


def test_pictures_beyond_max_pixels_are_refused_by_their_header_and_may_be_skipped(tmp_path):
    write_pictures(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "a" / "large.png").write_bytes(png((20_000, 9_000), 8, COLOUR, b"", header_only=True))
    message = r"large\.png \(has 20000×9000 pixels, 180\.0 million, where `max_pixels` admits 90000000\)"
    for in_memory in (True, False):
        with pytest.warns(UserWarning, match=f"1 of 5 pictures cannot be read: .*{message}; left out"):
            train = read_folder(tmp_path, unreadable="skip", in_memory=in_memory).train
        assert len(train) == 4
    with pytest.raises(ValueError, match=message):
        read_folder(tmp_path)
    with pytest.raises(ValueError, match=r"large.png: cannot be read \(has 20000×9000"):
        read_folder(tmp_path, in_memory=False).train.batch(range(5))


def test_max_pixels_admits_as_many_as_it_says(tmp_path):
    write_pictures(tmp_path, {"a": 1}, size=(9, 7))
    assert len(read_folder(tmp_path, max_pixels=63).train) == 1
    with pytest.raises(ValueError, match="has 9×7 pixels"):
        read_folder(tmp_path, max_pixels=62)


def test_max_pixels_may_exceed_what_pillow_warns_of(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    picture(size=(9, 7)).save(tmp_path / "x.png")
    assert open_picture(tmp_path / "x.png", "rgb", max_pixels=63).size == (9, 7)


# -- what is passed over ----------------------------------------------------------------------------------


def test_files_that_are_not_read_are_counted_by_suffix(tmp_path):
    write_pictures(tmp_path, {"a": 1, "b/deeper": 1})
    for name in ("x.heic", "y.HEIC", "z.heif", "notes.txt", "LICENSE", "Thumbs.db", "desktop.ini", ".hidden"):
        (tmp_path / "a" / name).touch()
    (tmp_path / "b" / "deeper" / "more.txt").touch()
    told = r": 6 files not read: 2 \.heic \(needs pillow-heif\), 2 \.txt, 1 without suffix, 1 \.heif \(needs"
    with pytest.warns(UserWarning, match=told):
        DATASETS.sources("image_folder", {"root": str(tmp_path)})
    with pytest.warns(UserWarning, match=told):
        assert len(read_folder(tmp_path).train) == 2


def test_a_class_of_files_that_are_not_read_says_so(tmp_path):
    write_pictures(tmp_path, {"a": 1, "b": 0})
    (tmp_path / "b" / "x.heic").touch()
    with pytest.raises(ValueError, match=r"b: a class needs a picture .*; 1 file not read: 1 \.heic \(needs"):
        read_folder(tmp_path)


def test_heif_counts_as_a_picture_where_something_reads_it(tmp_path, monkeypatch):
    (tmp_path / "x.heic").touch()
    for suffixes, count in ((picture_files.SUFFIXES, 0), ((*picture_files.SUFFIXES, ".heic"), 1)):
        monkeypatch.setattr(picture_files, "picture_suffixes", lambda suffixes=suffixes: suffixes)
        passed = PassedOver()
        assert len(list(picture_files.walk(tmp_path, None, passed=passed))) == count
        assert sum(passed.counts.values()) == 1 - count


# -- what shows nothing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [True, False])
def test_pictures_of_one_colour_are_told_of_by_name(tmp_path, in_memory):
    write_pictures(tmp_path, {"a": 2, "b": 2})
    Image.new("RGB", (9, 9), (5, 60, 7)).save(tmp_path / "a" / "nothing.png")
    with pytest.warns(UserWarning, match=r"^1 of 5 pictures show one colour all over: a/nothing\.png; if a"):
        read_folder(tmp_path, in_memory=in_memory)


def test_pictures_of_few_values_are_told_of_where_most_are():
    names = ["x", "y", "z"]
    (line,) = flat_pictures(names, np.array([4, 5, 2]), sampled=True)
    assert line.startswith("2 of 3 pictures sampled have fewer than 5 different values: x, z;")
    assert flat_pictures(names, np.array([4, 5, 200])) == []


def test_of_many_pictures_on_disk_a_few_are_looked_at(tmp_path):
    for number in range(70):
        Image.new("L", (4, 4), number).save(tmp_path / f"{number:02d}.png")
    (tmp_path / "c").mkdir()
    for path in list(tmp_path.glob("*.png")):
        path.rename(tmp_path / "c" / path.name)
    with pytest.warns(UserWarning, match=r"^24 of 24 pictures sampled show one colour all over: c/00\.png"):
        read_folder(tmp_path, in_memory=False)


def test_a_part_on_disk_has_a_label_for_each_picture(tmp_path):
    with pytest.raises(ValueError, match=r"must have labels \(N,\), got \(2,\) and \(1,\)"):
        ImageFiles(tmp_path, ["x.png", "y.png"], [0])
    part = ImageFiles(tmp_path, ["x.png", "y.png"], [0, 1])
    with pytest.raises(ValueError, match=r"got \(1,\) and \(2,\)"):
        part.take(np.array([1]), [0, 1])


def test_jpeg_in_cmyk_is_read(tmp_path):
    file = io.BytesIO()
    picture().convert("CMYK").save(file, "JPEG", quality=95)
    (tmp_path / "x.jpg").write_bytes(file.getvalue())
    assert open_picture(tmp_path / "x.jpg", "rgb").mode == "RGB"
