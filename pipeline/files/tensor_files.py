"""Arrays in safetensors files that carry the SHA-256 of their tensors and of what their header says.

A cut or a flipped bit is noticed wherever it falls. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.publish import canonical_json, publish_bytes
from longtail.stages.data.files.regular_file import UnreadableFile, refuse_special

if TYPE_CHECKING:
    import numpy as np


def tensors_hash(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(
            array.tobytes() if not array.flags.c_contiguous else memoryview(array.reshape(-1)).cast("B")
        )
    return digest.hexdigest()


def save_tensors(path: Path, tensors: Mapping[str, np.ndarray], facts: dict[str, Any]) -> str:
    """Publish `tensors` with JSON `facts` as a safetensors file; returns the tensors' hash."""
    content, digest = tensor_file(tensors, facts)
    publish_bytes(path, content)
    return digest


def tensor_file(tensors: Mapping[str, np.ndarray], facts: dict[str, Any]) -> tuple[bytes, str]:
    """What :func:`save_tensors` publishes, and the tensors' hash."""
    import numpy as np
    from safetensors.numpy import save

    tensors = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    digest = tensors_hash(tensors)
    # One entry: the library writes several in no particular order, and equal content shall be equal bytes.
    header = {"tensors": digest, "facts": facts, "check": _header_hash(digest, facts)}
    return save(tensors, metadata={"longtail": canonical_json(header)}), digest


def load_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any], str]:
    """(tensors, facts, tensors' hash) of a file :func:`save_tensors` wrote; Damaged when it is not intact."""
    from safetensors import SafetensorError, safe_open

    try:
        refuse_special(path, os.stat(path))  # which the library would wait for, or never finish reading
        with safe_open(path, "numpy") as file:
            header = json.loads((file.metadata() or {})["longtail"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        intact = header["check"] == _header_hash(header["tensors"], header["facts"])
    except FileNotFoundError:
        raise
    except UnreadableFile as error:
        raise Damaged(str(error)) from None
    except (SafetensorError, KeyError, ValueError, TypeError, OSError, RecursionError) as error:
        raise Damaged(f"{path}: damaged ({error})") from None
    if not intact or tensors_hash(tensors) != header["tensors"]:
        raise Damaged(f"{path}: damaged (its SHA-256 is not the one recorded)")
    return tensors, header["facts"], header["tensors"]


def _header_hash(tensors: str, facts: dict[str, Any]) -> str:
    return hashlib.sha256(f"{tensors}{canonical_json(facts)}".encode()).hexdigest()
