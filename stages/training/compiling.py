"""Whether compiling a network pays: one step of a copy is compiled under a time limit and timed."""

from __future__ import annotations

import copy
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from longtail.stages.data.pictures.batches import Batch
from longtail.stages.losses.base import Loss
from longtail.stages.network import Network


class TakesTooLong(BaseException):
    """A time limit is over. No Exception, so that the compiler does not take it for a failure of its own."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`TakesTooLong` inside the block after so many seconds; main thread and POSIX only."""

    def stop(*_) -> None:
        raise TakesTooLong

    before, began, others = signal.signal(signal.SIGALRM, stop), time.monotonic(), 0.0
    try:
        try:
            others = signal.setitimer(signal.ITIMER_REAL, seconds)[0]
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:  # also when the time is over while the inner block ends
        signal.signal(signal.SIGALRM, before)
        if others:
            signal.setitimer(signal.ITIMER_REAL, max(others - (time.monotonic() - began), 1e-3))


def can_be_limited() -> bool:
    """True where :func:`time_limit` works."""
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


@dataclass
class Trial:
    """Training steps on a copy of a network, which learns nothing: gradients are computed and dropped."""

    network: Network
    loss: Loss
    bfloat16: bool = False

    def __post_init__(self):
        self.network = copy.deepcopy(self.network).train()
        self.device = next(self.network.parameters()).device.type

    def eager(self, piece: Batch) -> float:
        """Seconds of one step on a piece of a batch."""
        return self._step(self.network, piece)

    def compiled(self, piece: Batch, *, limit: float, steps: int = 3) -> tuple[float, float]:
        """(seconds until the first compiled step is done, those of the fastest of the next `steps`).

        Raises TakesTooLong when all of that takes longer than `limit` seconds. What was compiled stays in
        torch's cache on disk: compiling the same network for the same sizes again takes little time.
        """
        try:
            with time_limit(limit):
                forward = torch.compile(self.network, dynamic=False)
                first = self._step(forward, piece)
                return first, min(self._step(forward, piece) for _ in range(steps))
        finally:
            torch._dynamo.reset()
            self.network.zero_grad(set_to_none=True)

    def _step(self, forward: Callable[[torch.Tensor], torch.Tensor], piece: Batch) -> float:
        began = time.perf_counter()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16):
            logits = forward(piece.inputs)
        self.loss(logits.float(), piece.labels).backward()
        logits.sum().item()  # waits for a GPU
        return time.perf_counter() - began
