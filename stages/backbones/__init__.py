"""Networks that turn images into features.

``BACKBONES.create(name, in_channels=3, **params)`` is a module with ``num_features`` (D) whose forward maps
(B, in_channels, H, W) to (B, D). ``last_block`` names the submodules that train when only the last block
does.
"""

from longtail.stages.registry import Registry

BACKBONES = Registry("backbone", "BACKBONES", "longtail.stages.backbones", supplied=("in_channels",))

__all__ = ["BACKBONES"]
