"""Sample weights learned in training: those under which a step would do a small clean batch most good.

``REWEIGHTINGS.create(name, **params)`` is a rule. Its ``weigh(losses_at, meta_loss_at, params, rate)`` gives
the weights (B,) of a batch, which add up to 1 (or are all 0) where the rule does not say otherwise.
``losses_at(params)`` is that batch's losses ℓ (B,), ``meta_loss_at(params)`` the clean batch's mean loss, a
scalar; `params` maps names to the tensors θ that training moves, `rate` is the learning rate. The step
weighed is plain gradient descent, θ' = θ − rate·Σ w_i ∇ℓ_i(θ): no momentum, no weight decay. :mod:`.learned`
brings a rule into training.
"""

from longtail.stages.registry import Registry

REWEIGHTINGS = Registry("reweighting", "REWEIGHTINGS", "longtail.stages.meta_weights")

__all__ = ["REWEIGHTINGS"]
