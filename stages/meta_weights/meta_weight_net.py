"""Meta-Weight-Net."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn
from torch.func import grad, vjp

from longtail.stages.meta_weights import REWEIGHTINGS
from longtail.stages.meta_weights.virtual import Params, along, normalized
from longtail.stages.parameters import BatchSize, Count, Fraction, NonNegative, Positive, Width


@REWEIGHTINGS.register("meta_weight_net")
class MetaWeightNet:
    """Weights as a function of a sample's loss, v_i = MLP(ℓ_i), learned along with the network.

    The MLP is 1-`hidden`-1 with ReLU and a sigmoid; w = v/Σv. A virtual step with these weights gives θ', the
    gradient of L_meta(θ') moves the MLP (SGD, Nesterov), and the real step has the moved MLP's weights. As in
    the released code ℓ_i enters the MLP as a number, through which nothing is differentiated; so the gradient
    is that of −rate·Σ w_i ⟨∇L_meta(θ'), ∇ℓ_i(θ)⟩ with the products held fixed.

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
        self.per_class, self.batch_size = per_class, batch_size
        self._mlp = nn.Sequential(nn.Linear(1, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid())
        self._optimizer = torch.optim.SGD(
            self._mlp.parameters(), lr=lr, momentum=momentum, nesterov=momentum > 0, weight_decay=weight_decay
        )

    def weigh(
        self,
        losses_at: Callable[[Params], torch.Tensor],
        meta_loss_at: Callable[[Params], torch.Tensor],
        params: Params,
        rate: float,
    ) -> torch.Tensor:
        """w (B,) of the MLP after its step; see :mod:`longtail.stages.meta_weights`."""
        losses, pull = vjp(losses_at, params)
        weights = self.weights(losses)
        step = pull(weights.detach())[0]
        moved = {name: value - rate * step[name] for name, value in params.items()}
        toward = grad(meta_loss_at)(moved)
        agreement = along(losses_at, params, toward)  # (B,)
        self._optimizer.zero_grad(set_to_none=True)
        (-rate * (weights * agreement).sum()).backward()
        self._optimizer.step()
        return self.weights(losses).detach()

    def weights(self, losses: torch.Tensor) -> torch.Tensor:
        """w (B,) the MLP gives to losses (B,)."""
        return normalized(self._mlp(losses.detach()[:, None]).squeeze(1))

    def to(self, device) -> MetaWeightNet:
        """This rule, for weights on `device`."""
        self._mlp.to(device)
        return self

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint has to hold: the MLP's tensors and, once it has moved, their momentum."""
        state = {}
        for name, parameter in self._mlp.named_parameters():
            state[name] = parameter.detach().cpu().numpy()
            buffer = self._optimizer.state[parameter].get("momentum_buffer")
            if buffer is not None:
                state[f"{name}.momentum"] = buffer.cpu().numpy()
        return state

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what :meth:`state` returned."""
        with torch.no_grad():
            for name, parameter in self._mlp.named_parameters():
                parameter.copy_(torch.tensor(state[name]))
                if f"{name}.momentum" in state:
                    buffer = torch.tensor(state[f"{name}.momentum"], device=parameter.device)
                    self._optimizer.state[parameter]["momentum_buffer"] = buffer
