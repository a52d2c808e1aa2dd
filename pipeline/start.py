"""What training starts from: weights from elsewhere, or an earlier run it continues."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import strict_yaml
from pipeline.checkpoint import Checkpoints, Memory, load_tensors, save_tensors
from pipeline.config import Config, Representation
from pipeline.errors import LongtailError
from pipeline.naming import earlier_run, is_published, weights_file
from pipeline.store import Store

if TYPE_CHECKING:
    import torch

    from pipeline.training import Trainee
    from stages.network import Network

log = logging.getLogger("longtail")

TORCHVISION = {"resnext50": "resnext50_32x4d"}  # what torchvision calls a backbone where names differ


# -- weights ----------------------------------------------------------------------------------------------


def load_weights(settings: Representation, network: Network) -> None:
    """Put the weights ``representation.weights`` names into the backbone, saying what matched."""
    from stages.weights import load_backbone

    if is_published(settings.weights):
        tensors = _published(settings)
    else:
        tensors = read_weights(weights_file(settings.weights))
    try:
        found = load_backbone(tensors, network.backbone)
    except ValueError as error:
        raise LongtailError(f"representation.weights: {settings.weights}: {error}") from None
    for line in str(found).splitlines():
        log.info("weights %s: %s", settings.weights, line)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file, or of a file torch.save wrote, read by its weights-only unpickler.

    Raises LongtailError for anything that is not plain weights; nothing in the file is run.
    """
    import pickle

    import safetensors.torch
    import torch

    from stages.weights import flatten

    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        return flatten(torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError:
        raise LongtailError(
            f"{path}: holds more than plain weights, so it is refused and none of it was run; "
            "save its state_dict as safetensors"
        ) from None
    except Exception as error:  # a damaged archive's opcodes fail in any way
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise LongtailError(f"{path}: cannot be read as weights ({reason})") from None


def _published(settings: Representation) -> dict[str, torch.Tensor]:
    """torchvision's ImageNet weights for the backbone, downloaded unless torch's cache has them."""
    from http.client import HTTPException

    import torchvision

    backbone = settings.backbone.name
    name = settings.weights.partition(":")[2] or "IMAGENET1K_V1"
    if name == "DEFAULT":
        raise LongtailError("representation.weights: name the weights, DEFAULT changes with torchvision")
    try:
        published = torchvision.models.get_model_weights(TORCHVISION.get(backbone, backbone))
        entry = published[name]
    except (ValueError, KeyError):
        raise LongtailError(
            f"representation.weights: torchvision has no weights {name!r} for backbone {backbone}"
        ) from None
    try:
        return dict(entry.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError, HTTPException) as error:
        raise LongtailError(
            f"representation.weights: {entry} could not be fetched ({error}); fetch {entry.url} elsewhere "
            "and name the file"
        ) from None


# -- an earlier run ---------------------------------------------------------------------------------------


def continue_run(config: Config, store: Store, trainee: Trainee, checkpoints: Checkpoints) -> Memory:
    """Load an earlier run's last epoch into `trainee`, and make it this run's own first checkpoint.

    Weights, optimiser state, history and best epoch go on: with a schedule that gives the same rates, so many
    epochs and then so many more are bit for bit all of them at once.
    """
    run_id = earlier_run(store, config.representation)
    folder = store.folder("representations", run_id)
    done = store.done("representations", run_id)
    if done["data"] != store.data_identity(config):
        raise LongtailError(
            f"representation.init: {folder} was trained on other data or another split, so that its best "
            f"epoch and this run's validation would not be its own; "
            f"representation.weights={folder / done['last']['file']} starts anew from its weights"
        )
    _refuse_another_kind(config.representation, folder)
    memory = Checkpoints(folder).resume(trainee.network, trainee.optimizer, trainee.average)
    if memory is None or memory.position.epoch != done["epochs"]:
        raise LongtailError(
            f"representation.init: {folder} lacks the optimiser state of its last epoch; "
            f"representation.weights={folder / done['last']['file']} starts anew from its weights"
        )
    if memory.best.epoch:
        tensors, facts, _ = load_tensors(folder / done["best"]["file"])
        save_tensors(checkpoints.folder / "best.safetensors", tensors, facts)
    log.info("going on from %s, which has %d epochs", run_id, memory.position.epoch)
    return checkpoints.save(trainee.network, trainee.optimizer, memory, average=trainee.average)


def _refuse_another_kind(settings: Representation, folder: Path) -> None:
    """LongtailError where the optimiser's state would not belong to this run's parameters."""
    said = strict_yaml.load((folder / "config.yaml").read_text(encoding="utf-8"))["representation"]
    names = ("backbone", "optimizer")
    earlier = {key: said[key]["name"] for key in names}
    own = {key: getattr(settings, key).name for key in names}
    for key in ("trainable", "no_weight_decay"):
        own[key] = getattr(settings, key)
        earlier[key] = said.get(key, Representation.model_fields[key].default)
    differing = [f"{key} {earlier[key]}, this run {own[key]}" for key in own if own[key] != earlier[key]]
    if differing:
        raise LongtailError(
            f"representation.init: {folder} has {'; '.join(differing)}; "
            "representation.weights starts anew from weights alone"
        )
