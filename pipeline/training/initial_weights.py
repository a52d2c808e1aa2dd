"""Weights from elsewhere that training starts from: a file, torchvision's or timm's."""

from __future__ import annotations

import logging
import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.pipeline.config.sections import Representation
from longtail.pipeline.config.setting_names import settings_named
from longtail.pipeline.config.weights_reference import is_published, weights_file
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.files.weight_files import is_safetensors, what_else
from longtail.stages.wording import listed

if TYPE_CHECKING:
    import torch

    from longtail.stages.network import Network

log = logging.getLogger("longtail")

OBJECT = re.compile(r"GLOBAL ([\w.]+)")  # how torch's weights-only unpickler names what it refuses
HUB = "huggingface.co"
PATIENCE = 10.0  # seconds until the hub answers
NOISY = ("huggingface_hub", "timm", "urllib3", "httpx")  # loggers that tell of every attempt


def load_weights(settings: Representation, network: Network, in_channels: int) -> None:
    """Put the weights ``representation.weights`` names into the backbone, saying what matched."""
    from longtail.stages.training.foreign_weights import load_backbone

    if is_published(settings.weights):
        of_timm = settings.weights.startswith("timm")
        tensors = _timm_weights(settings, in_channels) if of_timm else _torchvision_weights(settings)
    else:
        tensors = read_weights(weights_file(settings.weights))
    try:
        with settings_named({"weights_prefix": "representation.weights_prefix"}):
            key_map = load_backbone(tensors, network.backbone, weights_prefix=settings.weights_prefix)
    except ValueError as error:
        raise LongtailError(f"representation.weights: {settings.weights}: {error}{_hint(network)}") from None
    for line in str(key_map).splitlines():
        log.info("weights %s: %s", settings.weights, line)


def _hint(network: Network) -> str:
    """What may help where weights do not fit: most files are for colour."""
    first = next(p for p in network.backbone.parameters() if p.ndim > 1)
    if first.ndim == 4 and first.shape[1] in (2, 4):
        return (
            "; this network takes pictures with alpha, most weights take three channels: "
            "data.background=white lays them on white"
        )
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
        other = what_else(path)
        if other is not None:
            raise LongtailError(f"{path}: is {other}; it cannot be read as weights")
        if is_safetensors(path):
            return safetensors.torch.load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the file's pickle protocol, which whoever wrote it chose
            with open(path, "rb") as file:  # by its content: torch goes by a name that ends in .safetensors
                return flatten(torch.load(file, map_location="cpu", weights_only=True))
    except LongtailError:
        raise
    except pickle.UnpicklingError as error:
        named = OBJECT.search(str(error))
        if named is None and _head_is_no_pickle(path):
            raise LongtailError(
                f"{path}: is nothing that torch.save or safetensors writes; it cannot be read as weights"
            ) from None
        objects = f" (Python objects: {named[1]})" if named else ""
        raise LongtailError(
            f"{path}: holds more than plain weights{objects}, so it is refused and none of it was run; "
            "save its state_dict as safetensors"
        ) from None
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise LongtailError(f"{path}: cannot be read as weights ({reason})") from None
    except Exception:  # a damaged archive's opcodes fail in any way, and say nothing that helps
        raise LongtailError(
            f"{path}: cannot be read as weights (damaged, or written by neither torch.save nor safetensors)"
        ) from None


def _head_is_no_pickle(path: Path) -> bool:
    """True unless a file begins as torch.save's archives and pickles do."""
    with open(path, "rb") as file:
        return file.read(2)[:1] not in (b"\x80", b"P")


def _torchvision_weights(settings: Representation) -> dict[str, torch.Tensor]:
    """torchvision's ImageNet weights for the backbone, downloaded unless torch's cache has them."""
    from http.client import HTTPException

    import torch
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
            f"representation.weights: {entry} could not be fetched ({error}); fetch {entry.url} elsewhere, "
            f"and put it into {Path(torch.hub.get_dir()) / 'checkpoints'} or name the file"
        ) from None


def _timm_weights(settings: Representation, in_channels: int) -> dict[str, torch.Tensor]:
    """timm's weights for the backbone, downloaded unless the hub's cache has them."""
    from longtail.stages.backbones.timm_models import create

    model, _, own = settings.backbone.name.removeprefix("timm/").partition(".")
    tag = settings.weights.partition(":")[2] or own
    name, place = f"{model}.{tag}", _place_of_timm_weights(model, tag)
    reached = _hub_answers()
    try:
        with _hub_once(offline=not reached):
            backbone = create(name, in_channels=in_channels, pretrained=True, **settings.backbone.params)
    except Exception as error:  # the hub's client raises many kinds
        cause = (str(error) or type(error).__name__).splitlines()[0] if reached else f"{HUB} does not answer"
        raise LongtailError(
            f"representation.weights: timm's {name} could not be fetched ({cause}); fetch {place} elsewhere "
            f"and name the file: representation.weights=path/to/{place.rpartition('/')[2]}"
        ) from None
    return dict(backbone.state_dict())


def _place_of_timm_weights(model: str, tag: str) -> str:
    """The address of the file with timm's weights; LongtailError where `model` has none by that tag."""
    from timm import list_pretrained
    from timm.models import get_pretrained_cfg

    tags = [name.partition(".")[2] for name in list_pretrained(f"{model}.*")]
    if tag not in tags:
        others = f", only {listed(tags, len(tags))}" if tags else ""
        raise LongtailError(f"representation.weights: timm has no weights {tag!r} for {model}{others}")
    published = get_pretrained_cfg(f"{model}.{tag}")
    if published.hf_hub_id is None:
        return published.url
    file = published.hf_hub_filename or "model.safetensors"
    return f"https://{HUB}/{published.hf_hub_id}/resolve/main/{file}"


def _hub_answers() -> bool:
    """True when the hub can be connected to; also behind a proxy, which would have to be asked."""
    from urllib.request import getproxies

    if getproxies():
        return True
    try:
        socket.create_connection((HUB, 443), timeout=PATIENCE).close()
    except OSError:
        return False
    return True


@contextmanager
def _hub_once(*, offline: bool) -> Iterator[None]:
    """Inside the block the hub's client says nothing and, with `offline`, goes by its cache alone."""
    from huggingface_hub import constants

    levels = {name: logging.getLogger(name).level for name in NOISY}
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline  # else it would try again and again
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
