"""Random generators keyed by purpose and position.

Every draw comes from a generator keyed by (seed, purpose, epoch, batch): nothing needs saving, and resuming
in the middle of an epoch draws exactly what an undisturbed run would have drawn.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager


def generator(seed: int, purpose: str, *position: int):
    """A numpy Generator for one purpose at one position, the same in every process."""
    import numpy as np

    return np.random.default_rng([int(seed), zlib.crc32(purpose.encode()), *(int(p) for p in position)])


@contextmanager
def torch_seed(seed: int, purpose: str, *position: int, device=None) -> Iterator[None]:
    """Seed torch's generators inside the block, the CPU's and that of a CUDA `device`; restore them after."""
    import torch

    on_gpu = [] if device is None or torch.device(device).type != "cuda" else [device]
    with torch.random.fork_rng(devices=on_gpu):
        drawn = int(generator(seed, purpose, *position).integers(2**63))
        torch.default_generator.manual_seed(drawn)  # torch.manual_seed formats a stack trace for idle GPUs
        for gpu in on_gpu:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(drawn)
        yield
