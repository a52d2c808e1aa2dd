"""The verb `boundaries`: classifiers on two features, fitted where need be, drawn side by side."""

from __future__ import annotations

import logging
from pathlib import Path

from longtail.pipeline.config.components import check_spec, registry
from longtail.pipeline.config.loading import Config
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.files.outputs import output_path
from longtail.pipeline.store.classifier_files import load_classifier
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.workbench import Workbench

log = logging.getLogger("longtail")

FORMS = (".svg", ".png", ".html")
CLASSIFIERS = {  # what a panel is called, and what it shows
    "joint": "joint",
    "τ = 0": {"name": "tau_norm", "tau": 0},
    "τ = 0.5": {"name": "tau_norm", "tau": 0.5},
    "τ = 1": {"name": "tau_norm", "tau": 1},
    "cosine": "cosine",
    "class means": {"name": "ncm", "feature": "none"},
}


def draw_boundaries(config: Config, store: Store, path: Path, *, force: bool = False) -> None:
    """Draw the decision boundaries of joint, τ from 0 to 1, cosine and class means to `path`.

    Stage one and features are run first where they are missing; classifiers are judged on validation alone.
    LongtailError for features of another width than 2, a file name of another kind, and a file in the way
    that longtail did not write, unless `force`.
    """
    from longtail.pipeline.page.figures.decision_boundaries import Panel, decision_boundaries
    from longtail.pipeline.page.figures.drawing import house_style
    from longtail.pipeline.page.page import need_libraries, write_drawing

    if path.suffix not in FORMS:
        raise LongtailError(f"--out: must end in {', '.join(FORMS)}, got {str(path)!r}")
    output_path(path, "a figure", replaces=True, force=force)
    need_libraries()
    if config.representation is not None:
        spec = config.representation.backbone
        _require_two(registry("backbones").create(spec.name, **spec.params).num_features, given=False)
    bench = Workbench(config, store)
    features = bench.features
    _require_two(features.train.X.shape[1], given=True)
    panels = []
    for name, spec in CLASSIFIERS.items():
        result = bench.result(check_spec("classifiers", spec), ("val",))
        panels.append(Panel(name, load_classifier(store, result.run), result.balanced_accuracy("val")))
    with house_style():
        drawing = decision_boundaries(
            panels, features.train, features.class_counts, features.class_names, data=config.data.name
        )
        write_drawing(drawing, output_path(path, "a figure", replaces=True, force=force))
    log.info("%s: %d classifiers", path, len(panels))


def _require_two(width: int, *, given: bool) -> None:
    if width != 2:
        way = "'representation.backbone={name: small_cnn, bottleneck: 2}' makes 2, and `longtail boundaries` "
        way += "alone takes a recipe that has them"
        if given:
            way = "project those of the file to 2, by PCA for one"
        raise LongtailError(f"boundaries are drawn on 2 features, got {width}; {way}")
