"""Reading published pickles: known by their MD5, and of plain data only."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from longtail.stages.data.files.regular_file import read_bytes

MOST_BYTES = 2**30  # of a published file; the largest has 150 MB


class PlainUnpickler(pickle.Unpickler):
    """Makes containers, bytes, text, numbers and numpy arrays, and refuses to look up anything else."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may look up; UnpicklingError, with its name, for anything else."""
        import codecs

        import numpy as np

        rebuild = np.empty(0).__reduce__()[0]  # numpy's _reconstruct, under whichever name this numpy has it
        admitted = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("numpy.core.multiarray", "_reconstruct"): rebuild,
            ("numpy._core.multiarray", "_reconstruct"): rebuild,
            ("_codecs", "encode"): codecs.encode,  # how Python 3 writes bytes for Python 2
        }
        if (module, name) not in admitted:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return admitted[module, name]


def read_pickle(path: Path, md5: str) -> dict:
    """The dict pickled in a file with this MD5; text that Python 2 wrote comes as bytes.

    Raises ValueError for another MD5, before anything is unpickled, and for anything but plain data.
    """
    import hashlib
    import io

    data = read_bytes(path, MOST_BYTES)
    actual = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if actual != md5:
        raise ValueError(f"{path}: must have the published MD5 {md5}, got {actual}; fetch it again")
    try:
        value = PlainUnpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a pickle's opcodes fail in any way
        cause = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: must be pickled plain containers and arrays, but {cause}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: must hold a dict, got {type(value).__name__}")
    return value
