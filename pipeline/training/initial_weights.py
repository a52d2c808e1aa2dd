"""Weights from elsewhere that training starts from: a file, torchvision's or timm's."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.pipeline.config.sections import Representation
from longtail.pipeline.config.weights_reference import is_published, weights_file
from longtail.pipeline.errors import LongtailError

if TYPE_CHECKING:
    import torch

    from longtail.stages.network import Network

log = logging.getLogger("longtail")


def load_weights(settings: Representation, network: Network, in_channels: int) -> None:
    """Put the weights ``representation.weights`` names into the backbone, saying what matched."""
    from longtail.stages.data.pictures.reading.channels import ALPHA_MARKS
    from longtail.stages.training.foreign_weights import load_backbone

    if is_published(settings.weights) and in_channels in ALPHA_MARKS:
        raise LongtailError(f"representation.weights: {settings.weights}: {_ALPHA_HINT.format(in_channels)}")
    if is_published(settings.weights):
        of_timm = settings.weights.startswith("timm")
        tensors = _timm_weights(settings, in_channels) if of_timm else _torchvision_weights(settings)
    else:
        tensors = read_weights(weights_file(settings.weights))
    try:
        key_map = load_backbone(tensors, network.backbone)
    except ValueError as error:
        raise LongtailError(f"representation.weights: {settings.weights}: {error}{_hint(network)}") from None
    for line in str(key_map).splitlines():
        log.info("weights %s: %s", settings.weights, line)


_ALPHA_HINT = (
    "this network takes pictures with alpha, {} channels, published weights take three: "
    "data.background=white lays transparent pictures on white"
)


def _hint(network: Network) -> str:
    """What may help where weights do not fit: most files are for colour."""
    first = next(p for p in network.backbone.parameters() if p.ndim > 1)
    if first.ndim == 4 and first.shape[1] in (2, 4):
        return "; " + _ALPHA_HINT.format(first.shape[1])
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

    from longtail.stages.training.foreign_weights import flatten

    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the file's pickle protocol, which whoever wrote it chose
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


def _torchvision_weights(settings: Representation) -> dict[str, torch.Tensor]:
    """torchvision's ImageNet weights for the backbone, downloaded unless torch's cache has them."""
    from http.client import HTTPException

    import torchvision

    backbone = settings.backbone.name
    name = settings.weights.partition(":")[2] or "IMAGENET1K_V1"
    try:
        model = settings.backbone.component.facts["torchvision"]  # what torchvision calls it
        published = torchvision.models.get_model_weights(model)
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


def _timm_weights(settings: Representation, in_channels: int) -> dict[str, torch.Tensor]:
    """timm's weights for the backbone, downloaded unless the hub's cache has them."""
    from longtail.stages.backbones.timm_models import create

    model, _, own = settings.backbone.name.removeprefix("timm/").partition(".")
    name = f"{model}.{settings.weights.partition(':')[2] or own}"
    try:
        backbone = create(name, in_channels=in_channels, pretrained=True, **settings.backbone.params)
    except Exception as error:  # the hub's client raises many kinds
        cause = (str(error) or type(error).__name__).splitlines()[0]
        raise LongtailError(
            f"representation.weights: timm's {name} could not be fetched ({cause}); "
            "fetch its model.safetensors elsewhere and name the file"
        ) from None
    return dict(backbone.state_dict())
