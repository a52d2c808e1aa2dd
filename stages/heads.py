"""Stage one's heads by name, and which head a loss needs.

``HEADS.create(name, in_features, out_features, **params)`` is a module from features (B, D) to logits (B, C),
with ``frozen(scale)``, its :class:`~longtail.stages.network.Head` as arrays. The fact ``cosine`` marks heads
whose logits are cosines times a scale: ``@HEADS.register("mine", facts={"cosine": True})``. A head under a
loss with ``prior_bias`` has a ``bias`` (C,).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from longtail.stages.parameters import Positive, wrong
from longtail.stages.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from longtail.stages.losses.base import Loss

HEADS = Registry("head", "HEADS", __name__)

SCALE = 16.0  # Liu 2019 (arXiv 1904.05160), of cosines under a loss that does not scale them


@HEADS.register("linear")
def linear(in_features: int, out_features: int):
    """W f + b: what every loss but ldam, margin and hinge takes.

    Source: torch.nn.Linear and its initialisation.
    """
    from longtail.stages.network import LinearHead

    return LinearHead(in_features, out_features)


@HEADS.register("cosine", facts={"cosine": True})
def cosine(in_features: int, out_features: int, *, scale: Positive | None = None):
    """scale·cos(W_c, f), no bias; `scale` null is 16, or 1 under ldam, margin and hinge.

    Source: Cao 2019 (arXiv 1906.07413), section 3.2; Gidaris 2018 (1804.09458), section 3.2.
    """
    from longtail.stages.network import CosineHead

    return CosineHead(in_features, out_features, scale=SCALE if scale is None else scale)


def is_cosine(name: str) -> bool:
    """True for a head whose logits are cosines times a scale."""
    return bool(HEADS.describe(name).facts.get("cosine", False))


def head_for(loss: Loss, name: str | None = None, **params) -> tuple[str, dict]:
    """The head's name and parameters under `loss`: the loss's own if `name` is None.

    Raises `Problems` for a head the loss cannot be computed from, with the reason.
    """
    title = type(loss).__name__
    name = loss.head_kind if name is None else name
    if is_cosine(loss.head_kind):
        return name, _raw_cosines(title, name, params)
    if loss.prior_bias and is_cosine(name):
        raise wrong(
            "head", f"must be linear with {title}, whose classes start from a bias of −log(C−1), got {name}"
        )
    return name, params


def _raw_cosines(title: str, name: str, params: dict) -> dict:
    """The parameters with which the head `name` gives raw cosines, for the loss called `title`."""
    if not is_cosine(name):
        raise wrong("head", f"must be cosine with {title}, whose margins are between cosines, got {name}")
    if params.get("scale") not in (None, 1):
        rule = f"must be 1 or left out with {title}, which scales cosines itself"
        raise wrong("head.scale", f"{rule}, got {params['scale']:g}")
    return {**params, "scale": 1.0} if "scale" in HEADS.describe(name).parameters else params


def build_head(
    loss: Loss, in_features: int, num_classes: int, name: str | None = None, **params
) -> nn.Module:
    """The module of :func:`head_for`, features (B, D) to logits (B, C).

    If `loss` has ``prior_bias``, the head's bias starts at −log(C−1). Raises `Problems` for a head the loss
    cannot be computed from, one without a bias included, and for one without ``frozen``.
    """
    from torch.nn import init

    from longtail.stages.priors import uniform_bias

    name, params = head_for(loss, name, **params)
    head = HEADS.create(name, in_features, num_classes, **params)
    if not hasattr(head, "frozen"):  # noticed now, not after the training
        raise wrong("head", f"{name} lacks frozen(scale), which returns it as a Head; see LinearHead")
    if loss.prior_bias:
        if getattr(head, "bias", None) is None:
            rule = f"must have a bias with {type(loss).__name__}, whose classes start from one of −log(C−1)"
            raise wrong("head", f"{rule}, got {name}")
        init.constant_(head.bias, uniform_bias(num_classes))
    return head
