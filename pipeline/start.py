"""What training starts from: weights from elsewhere, or an earlier run it continues."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import strict_yaml
from pipeline.checkpoint import Checkpoints, Memory, load_tensors, save_tensors
from pipeline.checks import warn_of_start
from pipeline.config import Config
from pipeline.errors import LongtailError
from pipeline.naming import earlier_run, is_published, weights_file
from pipeline.sections import Representation
from pipeline.store import Store
from stages.wording import counted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pipeline.building import Trainee
    from stages.data import Splits
    from stages.network import Network

log = logging.getLogger("longtail")

SAME_PIXEL = 0.5  # of 255: constants no further apart normalise alike
TORCHVISION = {"resnext50": "resnext50_32x4d"}  # what torchvision calls a backbone where names differ


# -- weights ----------------------------------------------------------------------------------------------


def load_weights(settings: Representation, network: Network, in_channels: int) -> None:
    """Put the weights ``representation.weights`` names into the backbone, saying what matched."""
    from stages.weights import load_backbone

    if is_published(settings.weights):
        fetched = settings.weights.startswith("timm")
        tensors = _timms(settings, in_channels) if fetched else _published(settings)
    else:
        tensors = read_weights(weights_file(settings.weights))
    try:
        found = load_backbone(tensors, network.backbone)
    except ValueError as error:
        raise LongtailError(f"representation.weights: {settings.weights}: {error}{_hint(network)}") from None
    for line in str(found).splitlines():
        log.info("weights %s: %s", settings.weights, line)


def _hint(network: Network) -> str:
    """What may help where weights do not fit: most files are for colour."""
    first = next(p for p in network.backbone.parameters() if p.ndim > 1)
    if first.ndim == 4 and first.shape[1] == 1:
        return (
            "; this network takes grey pictures, most weights take colour: data.mode=rgb where there is one"
        )
    return ""


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file, or of a file torch.save wrote, read by its weights-only unpickler.

    Raises LongtailError for anything that is not plain weights; nothing in the file is run.
    """
    import pickle

    import safetensors
    import safetensors.torch
    import torch

    from stages.weights import flatten

    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the file's pickle protocol, which is nobody's choice here
            return flatten(torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError:
        raise LongtailError(
            f"{path}: holds more than plain weights, so it is refused and none of it was run; "
            "save its state_dict as safetensors"
        ) from None
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise LongtailError(f"{path}: cannot be read as weights ({reason})") from None
    except Exception:  # a damaged archive's opcodes fail in any way, and say nothing that helps
        raise LongtailError(
            f"{path}: cannot be read as weights (damaged, or written by neither torch.save nor safetensors)"
        ) from None


def _published(settings: Representation) -> dict[str, torch.Tensor]:
    """torchvision's ImageNet weights for the backbone, downloaded unless torch's cache has them."""
    from http.client import HTTPException

    import torchvision

    backbone = settings.backbone.name
    name = settings.weights.partition(":")[2] or "IMAGENET1K_V1"
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


def _timms(settings: Representation, in_channels: int) -> dict[str, torch.Tensor]:
    """timm's weights for the backbone, downloaded unless the hub's cache has them."""
    from stages.backbones.timm_models import create

    model, _, own = settings.backbone.name.removeprefix("timm/").partition(".")
    name = f"{model}.{settings.weights.partition(':')[2] or own}"
    try:
        found = create(name, in_channels=in_channels, pretrained=True, **settings.backbone.params)
    except Exception as error:  # the hub's client raises many kinds
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise LongtailError(
            f"representation.weights: timm's {name} could not be fetched ({said}); "
            "fetch its model.safetensors elsewhere and name the file"
        ) from None
    return dict(found.state_dict())


def check_input(settings: Representation, backbone: nn.Module, splits: Splits) -> None:
    """LongtailError for pictures of a size the backbone does not take; a warning for another normalisation.

    Only backbones that say what they expect are asked, and of normalisation only those with given weights.
    """
    expects = getattr(backbone, "expects", None)
    if expects is None:
        return
    name, size = settings.backbone.name, expects["size"]
    if size is not None and splits.input_shape[1:] != (size, size):
        shape = "×".join(map(str, splits.input_shape[1:]))
        raise LongtailError(
            f"data.image_size: must be {size} for backbone {name}, got {shape} pixels; "
            "the backbone's own image_size changes what it takes"
        )
    own = splits.train.constants
    wanted = {key: [255 * value for value in expects[key]] for key in ("mean", "std")}
    apart = max(abs(a - b) for key in wanted for a, b in zip(wanted[key], own[key], strict=False))
    if settings.weights is not None and apart > SAME_PIXEL:
        log.warning(
            "%s was trained on pictures normalised with mean %s and std %s, these have mean %s and std %s; "
            "data.mean and data.std change that for pictures in files",
            name,
            *(expects[key] for key in ("mean", "std")),
            *([round(value / 255, 4) for value in own[key]] for key in ("mean", "std")),
        )


# -- an earlier run ---------------------------------------------------------------------------------------


def check_start(config: Config, store: Store) -> None:
    """Refuse or warn of, before data and weights are opened, what training cannot well start from."""
    warn_of_start(config)
    if config.representation is not None and config.representation.init is not None:
        check_init(config, store)


def check_init(config: Config, store: Store) -> str:
    """The id of the finished run that ``representation.init`` names.

    LongtailError where its state would not go with this run's data, network or optimiser.
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
    return run_id


def continue_run(config: Config, store: Store, trainee: Trainee, checkpoints: Checkpoints) -> Memory:
    """Load an earlier run's last epoch into `trainee`, and make it this run's own first checkpoint.

    Weights, optimiser state, history and best epoch go on: with a schedule that gives the same rates, so many
    epochs and then so many more are bit for bit all of them at once.
    """
    run_id = check_init(config, store)
    folder = store.folder("representations", run_id)
    done = store.done("representations", run_id)
    carried = {"average": trainee.average, "reweighting": trainee.reweighting}
    memory = Checkpoints(folder).resume(trainee.network, trainee.optimizer, **carried)
    if memory is None or memory.position.epoch != done["epochs"]:
        raise LongtailError(
            f"representation.init: {folder} lacks the optimiser state of its last epoch; "
            f"representation.weights={folder / done['last']['file']} starts anew from its weights"
        )
    if memory.best.epoch:
        tensors, facts, _ = load_tensors(folder / done["best"]["file"])
        save_tensors(checkpoints.folder / "best.safetensors", tensors, facts)
    log.info("going on from %s, which has %s", run_id, counted(memory.position.epoch, "epoch"))
    return checkpoints.save(trainee.network, trainee.optimizer, memory, **carried)


def _prior_bias(loss: dict) -> bool:
    """True for a loss whose head's bias is not decayed."""
    from pipeline.components import registry
    from stages.registry import split_spec

    name, params = split_spec(loss)
    return registry("losses").create(name, [1, 1], **params).prior_bias


def _refuse_another_kind(settings: Representation, folder: Path) -> None:
    """LongtailError where the optimiser's state would not belong to this run's parameters."""
    said = strict_yaml.load((folder / "config.yaml").read_text(encoding="utf-8"))["representation"]
    names = ("backbone", "optimizer")
    earlier = {key: said[key]["name"] for key in names}
    own = {key: getattr(settings, key).name for key in names}
    full = settings.full()
    for key in ("trainable", "no_weight_decay", "reweighting"):
        own[key] = full[key]
        earlier[key] = said.get(key, Representation.model_fields[key].default)
    own["undecayed"], earlier["undecayed"] = (
        sorted({*kinds, *(["head_bias"] if _prior_bias(spec) else [])})
        for kinds, spec in (
            (own["no_weight_decay"], full["loss"]),
            (earlier["no_weight_decay"], said["loss"]),
        )
    )
    differing = [f"{key} {earlier[key]}, this run {own[key]}" for key in own if own[key] != earlier[key]]
    if differing:
        raise LongtailError(
            f"representation.init: {folder} has {'; '.join(differing)}; "
            "representation.weights starts anew from weights alone"
        )
