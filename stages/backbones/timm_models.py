"""Every model of timm as a backbone."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from longtail.stages.backbones import BACKBONES
from longtail.stages.parameters import PictureSide, TimmModel, wrong

if TYPE_CHECKING:
    from torch import nn

try:
    from timm import create_model, is_model, list_models
except ImportError as error:
    raise ImportError("timm backbones need timm: pip install 'longtail[timm]'") from error


@BACKBONES.register("timm")
def timm(in_channels: int = 3, *, model: TimmModel, image_size: PictureSide | None = None) -> nn.Module:
    """Any model of timm, as ``timm/resnet18`` or ``timm/resnet18.a1_in1k``, without its classifier.

    D is what the classifier would get. `image_size` is for models that want to know the size of pictures
    beforehand (vision transformers; null: the size they were trained with). The last block is the last stage
    and all that follows it. Its weights are random: trained ones are loaded separately.

    Raises ValueError for a model timm does not know, ImportError without the extra ``timm``.

    Source: Wightman 2019, PyTorch Image Models (https://github.com/huggingface/pytorch-image-models); each
    model's paper stands in timm's documentation.
    """
    return create(model, in_channels=in_channels, image_size=image_size)


def create(
    model: str, *, in_channels: int, image_size: int | None = None, pretrained: bool = False
) -> nn.Module:
    """timm's model with ``num_features``, ``last_block`` and ``expects``: what pictures it was trained on.

    ``expects`` holds `mean` and `std` of pixels in [0, 1], and `size`, the only one it takes (None: any).
    """
    if not is_model(model):
        near = difflib.get_close_matches(model, list_models(), n=3)
        raise ValueError(
            f"timm has no model {model!r}" + (f"; did you mean {' or '.join(near)}?" if near else "")
        )
    size = {} if image_size is None else {"img_size": image_size}
    try:
        network = create_model(model, pretrained=pretrained, num_classes=0, in_chans=in_channels, **size)
    except TypeError as error:
        if not size:
            raise
        raise wrong("image_size", f"{model} takes pictures of any size, leave it out ({error})") from None
    network.num_features = getattr(network, "head_hidden_size", None) or network.num_features
    network.last_block = last_block(network)
    facts = network.pretrained_cfg
    fixed = facts.get("fixed_input_size") or image_size
    network.expects = {
        "mean": list(facts["mean"]),
        "std": list(facts["std"]),
        "size": (image_size or facts["input_size"][-1]) if fixed else None,
    }
    return network


def last_block(model: nn.Module) -> tuple[str, ...]:
    """Names of the submodules of `model` from its last stage on.

    Stages are those timm takes intermediate features from. Where the last of them only normalises or pools,
    what lies between it and the one before belongs to it.
    """
    info = getattr(model, "feature_info", None) or []
    stages = [entry["module"] for entry in getattr(info, "info", info) if entry.get("module")]
    if not stages:
        return tuple(name for name, child in model.named_children() if _learns(child))[-1:]
    if _learns(model.get_submodule(stages[-1])) or len(stages) == 1:
        names = [stages[-1], *_after(model, stages[-1])]
    else:
        names = _after(model, stages[-2])
    return tuple(name for name in names if any(True for _ in model.get_submodule(name).parameters()))


def _learns(module: nn.Module) -> bool:
    """True when a module holds a matrix, not only a normalisation's scales."""
    return any(parameter.ndim > 1 for parameter in module.parameters())


def _after(model: nn.Module, path: str) -> list[str]:
    """Submodules registered behind the one at `path`, at its level and every one above."""
    names, parts = [], path.split(".")
    for depth in reversed(range(len(parts))):
        above = parts[:depth]
        siblings = [name for name, _ in model.get_submodule(".".join(above)).named_children()]
        names += [".".join([*above, name]) for name in siblings[siblings.index(parts[depth]) + 1 :]]
    return names
