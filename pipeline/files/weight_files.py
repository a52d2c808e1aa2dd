"""Recognise files given as weights that are something else, by their bytes; nothing in them is run."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

BEGINNINGS = (  # the first bytes of files that people take for weights
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the file it stands for; `git lfs pull` fetches that",
    ),
    (b"\x1f\x8b", "compressed (gzip); unpack it first"),
    (b"BZh", "compressed (bzip2); unpack it first"),
    (b"\xfd7zXZ", "compressed (xz); unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd); unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"\x89HDF", "an HDF5 file, as Keras writes its weights"),
    (b"\x93NUMPY", "a numpy array"),
    (b"GGUF", "a GGUF model"),
)
HEADER = 512  # bytes of a file that are looked at first
LONGEST_HEADER = 100_000_000  # bytes, safetensors' own limit
FIRST_OF_ONNX = b"\x08"  # the field ir_version, followed by its number and the next field


def is_safetensors(path: Path) -> bool:
    """True for a file that begins as safetensors does, whatever its name."""
    head = _head(path)
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_HEADER


def what_else(path: Path) -> str | None:
    """What a file is that holds no weights, as in "is WHAT"; None for one that may hold some."""
    head = _head(path)
    if not head:
        return "empty"
    for beginning, what in BEGINNINGS:
        if head.startswith(beginning):
            return what
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page, as a download that went wrong leaves it"
    if text.startswith((b"{", b"[")):
        return "text (JSON)"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    if head.startswith(b"PK"):
        return _other_archive(path)
    if is_safetensors(path):
        return _cut_short(path)
    if head.startswith(FIRST_OF_ONNX) and head[2:3] in (b"\x12", b"\x1a", b"\x3a"):
        return "an ONNX model; weights come from the checkpoint it was made from"
    return None


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(HEADER)


def _other_archive(path: Path) -> str | None:
    """What a zip archive is that torch.save did not write."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return "cut short or damaged (an archive without its end)"
    if any(name.endswith("/constants.pkl") for name in names):
        return "a TorchScript model; save its state_dict() instead"
    if any(name.endswith("data.pkl") for name in names):
        return None
    if names and all(name.endswith(".npy") for name in names):
        return "numpy arrays (.npz)"
    return "a zip archive that torch.save did not write; unpack it first"


def _cut_short(path: Path) -> str | None:
    """By how much a safetensors file is cut short; None when it holds all of its tensors."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if 8 + length > size:
            return f"cut short: {size} bytes, and its header alone has {8 + length}"
        try:
            entries = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for key, entry in entries.items() if key != "__metadata__"]
            expected = 8 + length + max(ends, default=0)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            return None  # safetensors says what is wrong with it
    return f"cut short: {size} of {expected} bytes" if size < expected else None
