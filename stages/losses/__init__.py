"""Training losses.

``LOSSES.create(name, class_counts, **params)`` is a module: ``forward(logits (B, C), labels (B,))`` is a
scalar, ``per_sample(logits, labels)`` the (B,) values it adds up, ``set_epoch(e)`` and
``set_class_accuracy((C,))`` tell it how training goes. ``head_kind`` says which head it is made for.
"""

from longtail.stages.registry import Registry

LOSSES = Registry("loss", "LOSSES", "longtail.stages.losses", supplied=("class_counts",))

__all__ = ["LOSSES"]
