"""Checkpoints of stage one: written whole, verified on reading, resumed bit for bit.

Every tensor file carries the SHA-256 of its tensors and of what its header says, so that a cut or a flipped
bit is noticed wherever it falls. Nothing is pickled.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtail.pipeline.errors import Damaged, LongtailError
from longtail.pipeline.files.epoch_files import (
    BEST_WEIGHTS,
    STATE,
    WEIGHTS,
    Progress,
    checkpoint_files,
    file_stem,
    state_files,
)
from longtail.pipeline.files.tensor_files import load_tensors, save_tensors, tensors_hash
from longtail.pipeline.store.contents import EpochRow
from longtail.pipeline.training.state_tensors import (
    load_network,
    load_optimizer,
    network_tensors,
    optimizer_tensors,
)

if TYPE_CHECKING:
    import numpy as np

    from longtail.stages.representation import Position

log = logging.getLogger("longtail")

RAW = "network."  # prefix of a state's unaveraged weights, which training resumes from
LEARNED = "reweighting."  # prefix of the state of learned sample weights
KEPT = 2  # newest checkpoints that stay beside the best one


@dataclass(frozen=True)
class Best:
    """The best epoch so far by validation balanced accuracy, and its weights; epoch 0 before the first."""

    epoch: int = 0
    balanced_accuracy: float = -1.0
    tensors: str | None = None  # the hash of the tensors in best.safetensors


@dataclass(frozen=True)
class Memory:
    """What a run remembers beside tensors: its position, its history, its best epoch.

    `class_accuracy` (C,) is the last validation's, for losses that adapt to it; None without one.
    """

    position: Position
    history: list[EpochRow]
    best: Best
    class_accuracy: list[float | None] | None = None


class Checkpoints:
    """The checkpoint files of one representation's folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        # What best.safetensors should hold, to restore it when another process has replaced it.
        self._best: dict[str, Any] = {}

    def save(
        self, network, optimizer, memory: Memory, *, is_best: bool = False, average=None, reweighting=None
    ) -> Memory:
        """Publish weights, then state; drop what is no longer needed. Returns the memory as saved.

        With an `average` (AveragedModel) the weights are the averaged ones, and the state holds those that
        training resumes from. A `reweighting` (LearnedWeights) adds its own state. Raises LongtailError,
        saying when, for weights that are not finite.
        """
        position = memory.position
        facts = {"epochs": position.epoch, "batches": position.batch}
        weights = _finite_weights(network if average is None else average.module, position)
        if is_best:
            memory = replace(memory, best=replace(memory.best, tensors=tensors_hash(weights)))
            copied = {name: array.copy() for name, array in weights.items()}  # the network trains on
            self._best = {"tensors": copied, "facts": {**facts, **asdict(memory.best)}}
            save_tensors(self.folder / BEST_WEIGHTS, **self._best)
        stem = file_stem(position.epoch, position.batch)
        weights_hash = save_tensors(self.folder / f"{stem}{WEIGHTS}", weights, facts)
        tensors, plain = optimizer_tensors(optimizer)
        if average is not None:
            tensors |= {f"{RAW}{name}": array for name, array in network_tensors(network).items()}
        if reweighting is not None:
            tensors |= {f"{LEARNED}{name}": array for name, array in reweighting.state().items()}
        state = {**facts, "weights": weights_hash, "plain": plain, "memory": asdict(memory)}
        save_tensors(self.folder / f"{stem}{STATE}", tensors, state)
        self._prune(Progress(position.epoch, position.batch))
        return memory

    def check_best(self, expected: str) -> None:
        """Damaged unless the tensors in ``best.safetensors`` hash to `expected`.

        Another process that trains the same run may have replaced the file by an earlier best; where this
        process knows the expected tensors, it puts them back.
        """
        path = self.folder / BEST_WEIGHTS
        try:
            tensors, facts, actual = load_tensors(path)
        except (FileNotFoundError, Damaged):
            pass
        else:
            if actual == expected:
                self._best = {"tensors": tensors, "facts": facts}
                return
        if not self._best or tensors_hash(self._best["tensors"]) != expected:
            raise Damaged(f"{path}: does not hold this run's best weights")
        save_tensors(path, **self._best)

    def resume(self, network, optimizer, average=None, reweighting=None) -> Memory | None:
        """Load the newest intact checkpoint into all; None if there is none. Damaged ones are named."""
        for path in reversed(state_files(self.folder)):
            weights_path = path.with_suffix(WEIGHTS)
            try:
                weights, _, weights_hash = load_tensors(weights_path)
                tensors, state, _ = load_tensors(path)
                if state["weights"] != weights_hash:
                    raise Damaged(f"{path}: belongs to other weights than {weights_path.name}")
                if state["memory"]["best"]["tensors"] is not None:
                    self.check_best(state["memory"]["best"]["tensors"])
                raw, learned = _take_prefixed(tensors, RAW), _take_prefixed(tensors, LEARNED)
                load_network(network, raw or weights, weights_path)
                if average is not None:
                    load_network(average.module, weights, weights_path)
                    average.n_averaged.fill_(1)  # else the next update would overwrite the average
                if reweighting is not None:
                    reweighting.load_state(learned)
                load_optimizer(optimizer, tensors, state["plain"])
            except (Damaged, FileNotFoundError) as error:
                log.warning("%s; an earlier checkpoint takes its place", error)
                continue
            return _memory_of(state["memory"])
        return None

    def _prune(self, newest: Progress) -> None:
        """Drop checkpoints older than `newest`, but keep the ends of the last epochs."""
        files = {path: at for path, at in checkpoint_files(self.folder).items() if at < newest}
        ends = [at for path, at in files.items() if path.suffix == STATE and not at.batches]
        kept = ends[-KEPT:] if newest.batches else ends[1 - KEPT :]
        for path, at in files.items():
            if at not in kept:
                path.unlink(missing_ok=True)


def _finite_weights(network, position: Position) -> dict[str, np.ndarray]:
    """The network's tensors; LongtailError saying at which epoch and batch they are not finite."""
    try:
        return network_tensors(network)
    except LongtailError as error:
        inside = f"epoch {position.epoch + 1}, batch {position.batch}"
        where = inside if position.batch else f"end of epoch {position.epoch}"
        raise LongtailError(f"{where}: {error}") from None


def _take_prefixed(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Remove from `tensors` those whose names begin with `prefix`; they are returned without it."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}


def _memory_of(saved: dict[str, Any]) -> Memory:
    """A :class:`Memory` from its JSON form."""
    from longtail.stages.representation import Position, Totals

    at = saved["position"]
    position = Position(at["epoch"], at["batch"], Totals(**at["totals"]))
    return Memory(position, saved["history"], Best(**saved["best"]), saved["class_accuracy"])
