"""Files made to do harm: none runs code, none hangs, each gets one line and a status."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.tensor_files import load_tensors
from tests.faults.processes import assert_one_line_error, run, succeed
from tests.faults.roots import assert_same, copy
from tests.faults.sizes import full_only
from tests.finished_runs import named

# -- checkpoints and features -------------------------------------------------------------------------------


class Touch:
    """Unpickled, makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def header(length: int, text: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", length) + text + body


def tensor_files(canary: Path) -> dict[str, bytes]:
    """Contents that are no checkpoint of ours."""
    entry = b'{"a":{"dtype":"F32","shape":%s,"data_offsets":[0,4]}}'
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Touch(canary)))
    texts = {
        "negative shape": entry % b"[-1]",
        "vast shape": entry % b"[9223372036854775807,9]",
        "not a number": b'{"__metadata__":{"longtail":"{\\"check\\":NaN}"}}',
        "deep metadata": b'{"__metadata__":{"longtail":"' + b"[" * 100_000 + b'"}}',
        "deep header": b"[" * 100_000,
        "no record": entry % b"[1]",
        "no tensors": b"{}",
        "not text": b"\xff\xfe{}",
    }
    return {
        "pickle": pickle.dumps(Touch(canary)),
        "torch archive": zipped.getvalue(),
        "empty": b"",
        "huge header": header(2**63, b"{}"),
        "header past the end": header(10**8, b"{}"),
        **{name: header(len(text), text, bytes(4 * (b"F32" in text))) for name, text in texts.items()},
    }


def test_hostile_tensor_files_are_damaged_and_run_nothing(survey, tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "epoch-0001.safetensors"
    files = tensor_files(canary)

    def check(kind: str) -> None:
        path.write_bytes(files[kind])
        with pytest.raises(Damaged):
            load_tensors(path)
        assert not canary.exists()

    survey("hostile tensor file", files, check)


@pytest.mark.parametrize(
    "file",
    [
        "epoch-0002.state",
        *(pytest.param(f"{n}.safetensors", marks=full_only) for n in ("epoch-0002", "best")),
    ],
)
def test_hostile_checkpoint_in_a_run_is_named_and_not_used(whole, survey, tmp_path, file):
    root, canary = tmp_path / "root", tmp_path / "canary"

    def check(kind: str) -> None:
        copy(whole.root, root, ("representations",))
        path = named(root, f"representations/*/{file}")
        path.with_name("DONE").unlink()
        path.write_bytes(tensor_files(canary)[kind])
        found = succeed(root, whole.command)
        assert "Traceback" not in found.err and f"warning: {path}" in found.err
        assert not canary.exists()
        assert_same(root, whole.essence)
        shutil.rmtree(root)

    survey(f"hostile {file}", ["pickle", "deep metadata"], check)


def pickled_array(canary: Path) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Touch(canary)], object), allow_pickle=True)
    return file.getvalue()


def records(**changes) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps({**json.loads(content), **changes}).encode()


RECORDS = {  # file, and what becomes of it
    "pickle as array": ("features/*/train.X.npy", None),
    "NaN in a manifest": ("features/*/manifest.json", records(class_counts=[float("nan")])),
    "manifest of another kind": ("features/*/manifest.json", lambda content: b"[1, 2]"),
    "manifest that leaves its folder": ("features/*/manifest.json", records(files={"../../x": {}})),
    "manifest with a strange head": ("features/*/manifest.json", records(head={"run": "x"})),
    "manifest, deep": ("features/*/manifest.json", lambda content: b"[" * 100_000),
    "NaN in a result": ("classifiers/*/result.json", records(metrics=float("nan"))),
    "DONE, deep": ("classifiers/*/DONE", lambda content: b"[" * 100_000),
    "DONE that names nothing": ("classifiers/*/DONE", lambda content: b"{}"),
    "DONE of stage one, deep": ("representations/*/DONE", lambda content: b"[" * 100_000),
    "provenance, deep": ("representations/*/provenance.json", lambda content: b"[" * 100_000),
}


def test_hostile_records_are_made_again_and_run_nothing(whole, survey, tmp_path):
    root, canary = tmp_path / "root", tmp_path / "canary"

    def check(kind: str) -> None:
        copy(whole.root, root, ("representations", "features", "classifiers"))
        pattern, change = RECORDS[kind]
        path = named(root, pattern, classifier="crt")
        path.write_bytes(pickled_array(canary) if change is None else change(path.read_bytes()))
        if "features" in pattern:
            shutil.rmtree(root / "classifiers")
        if "provenance" in pattern:
            path.with_name("DONE").unlink()
        found = run(root, whole.command)
        shown = found.err.splitlines()[-1:]
        try:
            assert found.status == 0 and "Traceback" not in found.err, f"exit {found.status}: {shown}"
            assert not canary.exists()
            assert_same(root, whole.essence)
        finally:
            shutil.rmtree(root)

    survey("hostile record", RECORDS, check)


# -- data ---------------------------------------------------------------------------------------------------


def png(width: int, height: int, pixels: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    size = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def pictures(canary: Path) -> dict[str, bytes]:
    good = png(8, 8, bytes(8 * 9))
    return {
        "PNG bomb": png(60_000, 60_000, bytes(10**7)),
        "truncated PNG": good[: len(good) // 2],
        "PNG of wrong check sums": good[:30] + b"\0\0" + good[32:],
        "PostScript": b"%%!PS-Adobe-3.0 EPSF-3.0\n%%%%BoundingBox: 0 0 8 8\n(%s) (w) file\n" % bytes(canary),
        "pickle": pickle.dumps(Touch(canary)),
        "empty": b"",
    }


def test_hostile_picture_gets_one_line_that_names_it(survey, tmp_path):
    root, canary = tmp_path / "pictures", tmp_path / "canary"
    for name in ("a", "b"):
        for n in range(6):
            path = root / name / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(8, 8, bytes([0, *[20 * n] * 8] * 8)))
    content = pictures(canary)

    def check(kind: str) -> None:
        (root / "a" / "0.png").write_bytes(content[kind])
        command = ["run", "image_folder", f"data.root={root}", "data.image_size=8", "system.device=cpu"]
        said = assert_one_line_error(run(tmp_path / "root", [*command, "system.threads=1"]), 1)
        assert "0.png" in said and not canary.exists()

    survey("hostile picture", content, check)


def feature_files(canary: Path) -> dict[str, Callable[[Path], object]]:
    """Writers of ``features.npz`` files that must not be used."""
    X, y = np.ones((12, 3), np.float32), np.arange(12) % 3
    touch = np.array([Touch(canary)] * 12, object)

    def bomb(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 99999), }"
            file.writestr("X.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(10**6))
            file.writestr("y.npy", b"")

    return {
        "labels of objects": lambda path: np.savez(path, X=X, y=touch),
        "features of objects": lambda path: np.savez(path, X=np.array([touch] * 3).T, y=y),
        "names of objects": lambda path: np.savez(path, X=X, y=y, class_names=touch[:3]),
        "pickle": lambda path: path.write_bytes(pickle.dumps(Touch(canary))),
        "array header of a vast shape": bomb,
        "no arrays": lambda path: np.savez(path),
        "text": lambda path: path.write_text("X y"),
        "labels of text": lambda path: np.savez(path, X=X, y=y.astype(str)),
        "features not finite": lambda path: np.savez(path, X=X * np.nan, y=y),
        "labels below zero": lambda path: np.savez(path, X=X, y=y - 1),
    }


def test_hostile_features_get_one_line_and_run_nothing(survey, tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "features.npz"
    writers = feature_files(canary)

    def check(kind: str) -> None:
        path.unlink(missing_ok=True)
        writers[kind](path)
        command = ["run", "features", f"data.root={path}", "system.threads=1", "system.device=cpu"]
        assert_one_line_error(run(tmp_path / "root", command), 1, 2)
        assert not canary.exists()

    survey("hostile features", writers, check)
