"""What a run's checkpoint files are called: ``epoch-0004.safetensors``, ``epoch-0004-batch-000012.state``.

The weights are in one file, what training needs to resume in another of the same stem. A checkpoint inside
an epoch also counts the batches of that epoch.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

WEIGHTS, STATE = ".safetensors", ".state"
BEST_WEIGHTS = f"best{WEIGHTS}"  # a copy of the best epoch's weights, whichever epoch that is
PATTERN = r"epoch-(?P<epochs>\d+)(?:-batch-(?P<batches>\d+))?\.(?:state|safetensors)"


class Progress(NamedTuple):
    """How far training had come at a checkpoint: `epochs` completed, and `batches` of the next one."""

    epochs: int
    batches: int = 0


def file_stem(epochs: int, batches: int = 0) -> str:
    """The name of a checkpoint's files without their suffix."""
    return f"epoch-{epochs:04d}" + (f"-batch-{batches:06d}" if batches else "")


def weights_name(epochs: int) -> str:
    """The name of the file with the weights after `epochs` epochs."""
    return file_stem(epochs) + WEIGHTS


def progress_of(path: Path) -> Progress | None:
    """How far training had come when this file was written; None for a file of another kind."""
    match = re.fullmatch(PATTERN, path.name)
    return Progress(int(match["epochs"]), int(match["batches"] or 0)) if match else None


def checkpoint_files(folder: Path) -> dict[Path, Progress]:
    """Weights and states of every checkpoint in `folder`, oldest first."""
    progress = {path: progress_of(path) for path in folder.glob("epoch-*")}
    return dict(sorted(((path, at) for path, at in progress.items() if at), key=lambda item: item[1]))


def state_files(folder: Path) -> list[Path]:
    """The states in `folder`, oldest first."""
    return [path for path in checkpoint_files(folder) if path.suffix == STATE]


def latest_progress(folder: Path) -> Progress | None:
    """How far the newest checkpoint of which both files are there has come; None without one."""
    complete = [path for path in state_files(folder) if path.with_suffix(WEIGHTS).exists()]
    return progress_of(complete[-1]) if complete else None
