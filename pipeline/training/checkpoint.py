"""Checkpoints of stage one: written whole, verified on reading, resumed bit for bit.

Every tensor file carries the SHA-256 of its tensors and of what its header says, so that a cut or a flipped
bit is found wherever it falls. Nothing is pickled.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtail.pipeline.errors import Damaged, LongtailError
from longtail.pipeline.files.tensor_files import fingerprint, load_tensors, save_tensors
from longtail.stages.wording import listed

if TYPE_CHECKING:
    import numpy as np
    import torch

    from longtail.stages.representation import Position

log = logging.getLogger("longtail")

RAW = "network."  # begins the names of weights in a state, beside their average
LEARNED = "reweighting."  # begins those of what learns sample weights
KEPT = 2  # last checkpoints that stay beside the best one
_NAME = re.compile(r"epoch-(\d+)(?:-batch-(\d+))?\.(?:state|safetensors)$")


# -- networks and optimisers ------------------------------------------------------------------------------


def network_tensors(network: torch.nn.Module) -> dict[str, np.ndarray]:
    """Weights and buffers as arrays; LongtailError when one is not finite."""
    import numpy as np

    tensors = {name: t.detach().cpu().numpy() for name, t in network.state_dict().items()}
    bad = [name for name, array in tensors.items() if not np.isfinite(array).all()]
    if bad:
        raise LongtailError(
            f"weights are not finite ({listed(bad)}): nothing is saved; "
            "a lower representation.optimizer.lr, a warm-up or clip_grad_norm may help"
        )
    return tensors


def load_network(network: torch.nn.Module, tensors: Mapping[str, np.ndarray], source: Path) -> None:
    """Put `tensors` into `network`; LongtailError unless names and shapes match exactly, both shown."""
    import torch

    own = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    given = {name: array.shape for name, array in tensors.items()}
    if own != given:
        differing = sorted(name for name in {*own, *given} if own.get(name) != given.get(name))
        shown = listed((f"{n}: network {own.get(n)}, file {given.get(n)}" for n in differing), 3)
        raise LongtailError(f"{source}: does not fit the network ({shown})")
    network.load_state_dict({name: torch.tensor(array) for name, array in tensors.items()})


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, np.ndarray], list]:
    """The optimiser's tensors by ``<parameter>.<name>``, and its plain values as [parameter, name, value]."""
    import torch

    tensors, plain = {}, []
    for index, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{name}"] = value.detach().cpu().numpy()
            else:
                plain.append([index, name, value])
    return tensors, plain


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, np.ndarray], plain: list) -> None:
    """Undo :func:`optimizer_state`."""
    import torch

    state: dict[int, dict[str, Any]] = {}
    for key, array in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = torch.tensor(array)
    for index, name, value in plain:
        state.setdefault(index, {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


# -- a run's checkpoints ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Best:
    """The best epoch so far by validation balanced accuracy, and its weights; epoch 0 before the first."""

    epoch: int = 0
    balanced_accuracy: float = -1.0
    tensors: str | None = None  # fingerprint of best.safetensors


@dataclass(frozen=True)
class Memory:
    """What a run remembers beside tensors: where it is, its history, its best epoch."""

    position: Position
    history: list[dict[str, Any]]
    best: Best
    class_accuracy: list[float | None] | None = None


class Checkpoints:
    """The checkpoint files of one representation directory."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._best: dict[
            str, Any
        ] = {}  # what best.safetensors should hold, should another process replace it

    def save(
        self, network, optimizer, memory: Memory, *, is_best: bool = False, average=None, reweighting=None
    ) -> Memory:
        """Publish weights, then state; drop what is no longer needed. Returns what the state remembers.

        With an `average` (AveragedModel) the weights are the averaged ones, and the state holds those that
        training goes on from. A `reweighting` (LearnedWeights) adds its own state.
        """
        position = memory.position
        stem = f"epoch-{position.epoch:04d}" + (f"-batch-{position.batch:06d}" if position.batch else "")
        try:
            weights = network_tensors(network if average is None else average.module)
        except LongtailError as error:
            epoch = f"epoch {position.epoch + 1}, batch {position.batch}"
            where = epoch if position.batch else f"end of epoch {position.epoch}"
            raise LongtailError(f"{where}: {error}") from None
        facts = {"epochs": position.epoch, "batches": position.batch}
        if is_best:
            memory = replace(memory, best=replace(memory.best, tensors=fingerprint(weights)))
            kept = {name: array.copy() for name, array in weights.items()}  # the network's own change on
            self._best = {"tensors": kept, "facts": {**facts, **asdict(memory.best)}}
            save_tensors(self.folder / "best.safetensors", **self._best)
        print_ = save_tensors(self.folder / f"{stem}.safetensors", weights, facts)
        tensors, plain = optimizer_state(optimizer)
        if average is not None:
            tensors |= {f"{RAW}{name}": array for name, array in network_tensors(network).items()}
        if reweighting is not None:
            tensors |= {f"{LEARNED}{name}": array for name, array in reweighting.state().items()}
        said = {**facts, "weights": print_, "plain": plain, "memory": asdict(memory)}
        save_tensors(self.folder / f"{stem}.state", tensors, said)
        self._prune(position)
        return memory

    def check_best(self, tensors: str) -> None:
        """Damaged unless ``best.safetensors`` holds the weights whose fingerprint is `tensors`.

        Where this process knows them it puts them back: another at this work may be at an earlier best.
        """
        path = self.folder / "best.safetensors"
        try:
            weights, facts, found = load_tensors(path)
        except (FileNotFoundError, Damaged):
            found = None
        if found == tensors:
            self._best = {"tensors": weights, "facts": facts}
        elif self._best and fingerprint(self._best["tensors"]) == tensors:
            save_tensors(path, **self._best)
        else:
            raise Damaged(f"{path}: does not hold this run's best weights")

    def resume(self, network, optimizer, average=None, reweighting=None) -> Memory | None:
        """Load the newest intact checkpoint into all; None when there is none. Damaged ones are named."""
        from longtail.stages.representation import Position, Totals

        for path in reversed(self._states()):
            weights = path.with_suffix(".safetensors")
            try:
                tensors, _, print_ = load_tensors(weights)
                state, said, _ = load_tensors(path)
                if said["weights"] != print_:
                    raise Damaged(f"{path}: belongs to other weights than {weights.name}")
                if said["memory"]["best"]["tensors"] is not None:
                    self.check_best(said["memory"]["best"]["tensors"])
                raw, learned = _taken(state, RAW), _taken(state, LEARNED)
                load_network(network, raw or tensors, weights)
                if average is not None:
                    load_network(average.module, tensors, weights)
                    average.n_averaged.fill_(1)  # the next average is none's first
                if reweighting is not None:
                    reweighting.load_state(learned)
                load_optimizer(optimizer, state, said["plain"])
            except (Damaged, FileNotFoundError) as error:
                log.warning("%s; an earlier checkpoint takes its place", error)
                continue
            memory = said["memory"]
            at = memory["position"]
            position = Position(at["epoch"], at["batch"], Totals(**at["totals"]))
            return Memory(position, memory["history"], Best(**memory["best"]), memory["class_accuracy"])
        return None

    def _states(self) -> list[Path]:
        """State files from oldest to newest."""
        return sorted((p for p in self.folder.glob("epoch-*.state") if _key(p)), key=_key)

    def _prune(self, position: Position) -> None:
        """Keep the last epochs, and the last checkpoint inside an epoch until that epoch is done."""
        here = (position.epoch, position.batch)
        older = [key for key in map(_key, self._states()) if key < here]
        kept = [key for key in older if key[1] == 0][1 - KEPT if position.batch == 0 else -KEPT :]
        for path in [*self.folder.glob("epoch-*.state"), *self.folder.glob("epoch-*.safetensors")]:
            key = _key(path)
            if key is not None and key < here and key not in kept:
                path.unlink(missing_ok=True)


def _taken(state: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """What `state` holds under names that begin with `prefix`, taken out of it, without the prefix."""
    return {name.removeprefix(prefix): state.pop(name) for name in list(state) if name.startswith(prefix)}


def _key(path: Path) -> tuple[int, int] | None:
    """(completed epochs, batches of the next) a checkpoint file is named after."""
    found = _NAME.match(path.name)
    return (int(found[1]), int(found[2] or 0)) if found else None
