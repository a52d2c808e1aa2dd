"""Meta-Weight-Net: sample weights as a function of a sample's loss, learned along with the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn
from torch.func import grad, vjp

from longtail.stages.meta_weights import REWEIGHTINGS
from longtail.stages.meta_weights.virtual import Params, along, normalized
from longtail.stages.parameters import BatchSize, Count, Fraction, NonNegative, Positive, Width


class WeightNet:
    """What every form of Meta-Weight-Net shares: the MLP, 1-`hidden`-1 with ReLU and a sigmoid, and its step.

    A form sets ``optimizer`` for ``mlp``'s parameters and may say otherwise what v amounts to
    (:meth:`weights`) and how losses enter (:meth:`influence`).
    """

    optimizer: torch.optim.Optimizer

    def __init__(self, per_class: int, batch_size: int, hidden: int):
        self.per_class, self.batch_size = per_class, batch_size
        self.mlp = nn.Sequential(nn.Linear(1, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid())

    def weigh(
        self,
        losses_at: Callable[[Params], torch.Tensor],
        meta_loss_at: Callable[[Params], torch.Tensor],
        params: Params,
        rate: float,
    ) -> torch.Tensor:
        """w (B,) of the MLP after its step; see :mod:`longtail.stages.meta_weights`."""
        losses, pull = vjp(losses_at, params)
        losses = losses.detach()
        influence = self.influence(losses)
        step = pull(influence.detach())[0]
        moved = {name: value - rate * step[name] for name, value in params.items()}
        toward = grad(meta_loss_at)(moved)
        agreement = along(losses_at, params, toward)  # (B,)
        self.optimizer.zero_grad(set_to_none=True)
        (-rate * (influence * agreement).sum()).backward()
        self.optimizer.step()
        return self.weights(losses).detach()

    def values(self, losses: torch.Tensor) -> torch.Tensor:
        """v (B,) in (0, 1) of losses (B,)."""
        return self.mlp(losses[:, None]).squeeze(1)

    def weights(self, losses: torch.Tensor) -> torch.Tensor:
        """w (B,) of losses (B,): v/Σv."""
        return normalized(self.values(losses))

    def influence(self, losses: torch.Tensor) -> torch.Tensor:
        """What the gradient ∇ℓ_i is multiplied by in the virtual step, (B,), a function of the MLP: w."""
        return self.weights(losses)

    def to(self, device) -> WeightNet:
        """This rule, for weights on `device`."""
        self.mlp.to(device)
        return self

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint has to hold: the MLP's tensors and, once it has moved, its optimiser's."""
        state = {}
        for name, parameter in self.mlp.named_parameters():
            state[name] = parameter.detach().cpu().numpy()
            for key, tensor in self.optimizer.state[parameter].items():
                if tensor is not None:  # momentum of 0 leaves no buffer
                    state[f"{name}.{key.removesuffix('_buffer')}"] = tensor.detach().cpu().numpy()
        return state

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what :meth:`state` returned."""
        kept: dict[int, dict[str, torch.Tensor]] = {}
        for index, (name, parameter) in enumerate(self.mlp.named_parameters()):
            with torch.no_grad():
                parameter.copy_(torch.tensor(state[name]))
            for key in ("momentum", "exp_avg", "exp_avg_sq", "step"):
                if f"{name}.{key}" in state:
                    buffer = "momentum_buffer" if key == "momentum" else key
                    kept.setdefault(index, {})[buffer] = torch.tensor(state[f"{name}.{key}"])
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": kept, "param_groups": groups})


def nesterov_sgd(mlp: nn.Module, lr: float, momentum: float, weight_decay: float) -> torch.optim.SGD:
    """The optimiser of the MLP in the paper and in its code for class imbalance."""
    return torch.optim.SGD(
        mlp.parameters(), lr=lr, momentum=momentum, nesterov=momentum > 0, weight_decay=weight_decay
    )


@REWEIGHTINGS.register("meta_weight_net")
class MetaWeightNet(WeightNet):
    """Weights as a function of a sample's loss, v_i = MLP(ℓ_i), learned along with the network.

    The MLP is 1-`hidden`-1 with ReLU and a sigmoid; w = v/Σv. A virtual step with these weights gives θ', the
    gradient of L_meta(θ') moves the MLP (SGD, Nesterov), and the real step has the moved MLP's weights. ℓ_i
    enters the MLP as a number, through which nothing is differentiated; so the gradient is that of
    −rate·Σ w_i ⟨∇L_meta(θ'), ∇ℓ_i(θ)⟩ with the products held fixed. The authors released two codes, and
    neither computes quite this: they are ``meta_weight_net_imbalance`` and ``meta_weight_net_label_noise``.

    `per_class` images of each class (half of a small one) are held out of the training split; a clean batch
    is up to `batch_size` of them, the same number of each class. `lr`, `momentum` and `weight_decay` are the
    MLP's.

    Source: Shu 2019 (arXiv 1902.07379), equations 2 to 6 and algorithm 1; settings of section 4.
    """

    def __init__(
        self,
        *,
        per_class: Count = 10,
        batch_size: BatchSize = 100,
        hidden: Width = 100,
        lr: Positive = 1e-5,
        momentum: Fraction = 0.9,
        weight_decay: NonNegative = 5e-4,
    ):
        super().__init__(per_class, batch_size, hidden)
        self.optimizer = nesterov_sgd(self.mlp, lr, momentum, weight_decay)
