"""One registry for every kind of component: datasets, samplers, losses, backbones, classifiers...

A component is a function or class under a decorator, in a file beside its siblings::

    @SAMPLERS.register("square_root", q=0.5)
    @SAMPLERS.register("power")
    class Power: ...

Names, parameters, facts and documentation are read from the source text (:mod:`.scan`), so that a
configuration is checked, and a finished run recognised, without loading torch. Only the file of the component
in use is imported. Components of other packages are read in the same way (:mod:`.outside`).
"""

from longtail.stages.registry.component import (
    REQUIRED,
    Component,
    Parameter,
    check_parameters,
    did_you_mean,
    signature_parameters,
    split_spec,
)
from longtail.stages.registry.registry import Registry

__all__ = [
    "REQUIRED",
    "Component",
    "Parameter",
    "Registry",
    "check_parameters",
    "did_you_mean",
    "signature_parameters",
    "split_spec",
]
