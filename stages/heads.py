"""Stage one's heads by name, and which head a loss wants."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from longtail.stages.parameters import Positive, Problem, Problems
from longtail.stages.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from longtail.stages.losses.base import Loss

HEADS = Registry("head", "HEADS", __name__)

SCALE = 16.0  # Liu 2019 (arXiv 1904.05160), of cosines under a loss that brings no scale


@HEADS.register("linear")
def linear(in_features: int, out_features: int):
    """W f + b: what every loss but ldam, margin and hinge takes.

    Source: torch.nn.Linear and its initialisation.
    """
    from longtail.stages.network import LinearHead

    return LinearHead(in_features, out_features)


@HEADS.register("cosine")
def cosine(in_features: int, out_features: int, *, scale: Positive | None = None):
    """scale·cos(W_c, f), no bias; `scale` null is 16, or 1 under ldam, margin and hinge.

    Source: Cao 2019 (arXiv 1906.07413), section 3.2; Gidaris 2018 (1804.09458), section 3.2.
    """
    from longtail.stages.network import CosineHead

    return CosineHead(in_features, out_features, scale=SCALE if scale is None else scale)


def head_for(loss: Loss, name: str | None = None, **params) -> tuple[str, dict]:
    """The head's name and parameters under `loss`: the loss's own where `name` is None.

    Raises `Problems` for a head the loss cannot be computed from, with the reason.
    """
    title = type(loss).__name__
    if name is None:
        name = loss.head_kind
    if loss.head_kind == "cosine":
        if name != "cosine":
            raise Problems(
                [
                    Problem(
                        "head", f"must be cosine with {title}, whose margins are between cosines, got {name}"
                    )
                ]
            )
        if params.get("scale") not in (None, 1):
            rule = f"must be 1 or left out with {title}, which scales cosines itself, got {params['scale']:g}"
            raise Problems([Problem("head.scale", rule)])
        return name, {"scale": 1.0}
    if loss.prior_bias and name == "cosine":
        rule = f"must be linear with {title}, whose classes start from a bias of −log(C−1), got cosine"
        raise Problems([Problem("head", rule)])
    return name, params


def build_head(
    loss: Loss, in_features: int, num_classes: int, name: str | None = None, **params
) -> nn.Module:
    """The module of :func:`head_for`; its bias at −log(C−1) where the loss asks for it.

    Source of the bias: Lin 2017 (arXiv 1708.02002), section 4.1.
    """
    from torch.nn import init

    name, params = head_for(loss, name, **params)
    head = HEADS.create(name, in_features, num_classes, **params)
    if loss.prior_bias:
        init.constant_(head.bias, -math.log(max(num_classes - 1, 1)))
    return head
