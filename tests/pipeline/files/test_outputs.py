"""What a command is told to write replaces nothing that is not longtail's."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from longtail.pipeline.errors import LongtailError
from longtail.pipeline.files.outputs import OURS, output_folder, output_path
from longtail.pipeline.files.publish import publish_bytes

PAGE = b'<!DOCTYPE html>\n<meta charset="utf-8">\n<meta name="generator" content="longtail">\n'


def page(path: str | Path, **options) -> Path:
    return output_path(path, "a page", replaces=True, **options)


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def bind(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path)


IN_THE_WAY = {
    "FIFO": (os.mkfifo, "is a FIFO; a page is written to a file"),
    "socket": (bind, "is a socket; a page is written to a file"),
    "folder": (os.mkdir, "is a folder; a page is written to a file"),
    "link to a device": (lambda path: os.symlink("/dev/full", path), "is a device; a page is written"),
    "link to a folder": (lambda path: os.symlink(".", path), "is a folder; a page is written to a file"),
    "link to itself": (lambda path: os.symlink(path, path), "cannot be written (Too many levels"),
}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", IN_THE_WAY)
def test_what_is_no_file_is_never_replaced(kind, force):
    make, reason = IN_THE_WAY[kind]
    make("page.html")
    before = os.lstat("page.html")
    with pytest.raises(LongtailError) as caught:
        page("page.html", force=force)
    assert str(caught.value).startswith("page.html: ") and reason in str(caught.value)
    assert os.lstat("page.html") == before


@pytest.mark.parametrize("force", [False, True])
def test_a_device_is_refused_by_its_name(force):
    with pytest.raises(LongtailError, match=r"^/dev/null: is a device; a page is written to a file"):
        page("/dev/null", force=force)


@pytest.mark.parametrize(
    "content", [b"", b"seed: 1\n", b"<!DOCTYPE html><title>mine</title>", b"\0" * 2**15 + PAGE]
)
def test_a_file_of_somebody_else_is_kept_unless_forced(content):
    Path("page.html").write_bytes(content)
    with pytest.raises(LongtailError, match=r"^page\.html: exists already and is not a page that longtail"):
        page("page.html")
    assert page("page.html", force=True) == Path("page.html")


def test_a_page_of_ours_is_replaced_by_the_next():
    Path("page.html").write_bytes(PAGE)
    assert page("page.html") == Path("page.html")
    Path("page.yaml").write_bytes(PAGE)  # which is no suffix of a page
    with pytest.raises(LongtailError, match="exists already"):
        page("page.yaml")


def test_where_nothing_of_ours_is_replaced_a_file_needs_force():
    Path("model.onnx").write_bytes(PAGE)
    with pytest.raises(LongtailError) as caught:
        output_path("model.onnx", "a model", way_out=", or name another")
    assert str(caught.value) == "model.onnx: exists already; --force overwrites it, or name another"
    assert output_path("model.onnx", "a model", force=True) == Path("model.onnx")


@pytest.mark.parametrize("ours", [True, False])
def test_a_link_stays_and_what_it_leads_to_follows_the_rule(ours):
    Path("target").mkdir()
    target = Path("target/page.html").resolve()
    target.write_bytes(PAGE if ours else b"mine")
    os.symlink("target/page.html", "page.html")
    if not ours:
        with pytest.raises(LongtailError, match=r"^page\.html: exists already and is not"):
            page("page.html")
    publish_bytes(page("page.html", force=not ours), b"new")
    assert os.path.islink("page.html") and target.read_bytes() == b"new"


def test_a_link_to_nothing_is_written_through():
    os.symlink("target.html", "page.html")
    publish_bytes(page("page.html"), b"new")
    assert os.path.islink("page.html") and Path("target.html").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("-", "-: a page is written to a file; ./- is one of that name"),
        ("file/page.html", "file: is a file, not a folder for a page"),
        ("file/below/page.html", "file: is a file, not a folder for a page"),
        ("link/page.html", "link: is a link to nothing, not a folder for a page"),
        ("/dev/null/page.html", "/dev/null: is a device, not a folder for a page"),
        ("~nosuchuser/page.html", "~nosuchuser/page.html: ~nosuchuser is nobody's home folder here"),
    ],
)
def test_a_place_where_nothing_can_be_written_is_named(name, reason):
    Path("file").touch()
    os.symlink("gone", "link")
    with pytest.raises(LongtailError) as caught:
        page(name, force=True)
    assert reason in str(caught.value)
    if name[0] not in "-~":
        with pytest.raises(LongtailError, match="not a folder for"):
            output_folder(os.path.dirname(name), "figures")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named_before_the_work():
    os.mkdir("closed", 0o500)
    with pytest.raises(LongtailError, match=r"^closed: you may not write a page into this folder"):
        page("closed/page.html")


def test_new_files_may_be_written_in_new_folders():
    assert page("a/b/page.html") == Path("a/b/page.html")
    assert output_folder("a/figures", "figures") == Path("a/figures")
    assert page("~/page.html") == Path.home() / "page.html"


def test_marks_are_of_the_suffixes_that_are_written():
    from longtail.pipeline.page.draw_boundaries import FORMS

    assert set(OURS) == set(FORMS)
