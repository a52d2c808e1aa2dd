"""A finished classifier with the backbone and preprocessing before it: pictures in, scores out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from longtail.pipeline.config.components import check_spec, registry
from longtail.pipeline.config.imports import require_imports
from longtail.pipeline.errors import Damaged, LongtailError
from longtail.pipeline.files.tensor_files import load_tensors
from longtail.pipeline.store.classifier_files import load_classifier
from longtail.pipeline.store.contents import Manifest
from longtail.pipeline.store.result import Result
from longtail.pipeline.store.run_records import run_settings
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.state_tensors import load_network

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from longtail.stages.classifiers.base import Classifier
    from longtail.stages.data.pictures.preprocessing import Preprocessing

BACKBONE = "backbone."  # begins the names of its tensors in a checkpoint


@dataclass(frozen=True)
class FinishedModel:
    """A classifier with what its features come from.

    `preprocessing` and `backbone` are None where the run began with feature arrays. `dtype` is the type
    features were cached in.
    """

    result: Result
    estimator: Classifier
    preprocessing: Preprocessing | None
    backbone: nn.Module | None
    dtype: str

    @property
    def class_names(self) -> list[str]:
        """What the classes are called, in the order of the scores."""
        return self.result.class_names

    def scores(self, pixels: np.ndarray, device: str) -> np.ndarray:
        """Scores (B, C) of decoded pictures (B, H, W, channels) uint8, the backbone being on `device`."""
        import numpy as np
        import torch

        from longtail.stages.data.pictures.in_memory import ImageArrays
        from longtail.stages.features import extract_features

        constants = {key: torch.tensor(getattr(self.preprocessing, key)) for key in ("mean", "std")}
        part = ImageArrays(pixels, np.zeros(len(pixels)), **constants)
        return self.estimator.scores(extract_features(self.backbone, part, device=device, dtype=self.dtype).X)


def takes_pictures(store: Store, result: Result) -> bool:
    """Whether a classifier's run began with pictures, not feature arrays; no weights are opened."""
    return _manifest(store, result)["identity"]["tensors"] is not None


def load_finished_model(store: Store, result: Result) -> FinishedModel:
    """Load the classifier of a result, verified, and the backbone its features come from, on the CPU.

    Neither the data set nor the cached features are opened. LongtailError when something is missing.
    """
    from longtail.stages.data.pictures.preprocessing import Preprocessing

    require_imports(result.imports, "backbones", "classifiers")
    manifest = _manifest(store, result)
    identity = manifest["identity"]
    backbone = preprocessing = None
    if identity["tensors"] is not None:
        if manifest.get("preprocessing") is None:
            raise LongtailError(
                f"{store.folder('features', result.features)}: does not say how pictures were read; "
                "`longtail extract CONFIG --fresh` makes it again"
            )
        preprocessing = Preprocessing(**manifest["preprocessing"])
        backbone = _backbone(store, result.representation, identity["tensors"], len(preprocessing.mean))
    estimator = load_classifier(store, result.run)
    return FinishedModel(result, estimator, preprocessing, backbone, identity["dtype"])


def _manifest(store: Store, result: Result) -> Manifest:
    manifest = store.manifest(result.features)
    if manifest is None:
        raise LongtailError(
            f"{store.folder('features', result.features)}: is gone or damaged, and says how this run "
            "reads its input; `longtail extract CONFIG` makes it again"
        )
    return manifest


def _backbone(store: Store, run_id: str, tensors: str, in_channels: int) -> nn.Module:
    """The backbone of a representation with the weights whose hash is `tensors`."""
    folder = store.folder("representations", run_id)
    done = store.done("representations", run_id)
    kept = [] if done is None else [done["best"], done["last"]]
    files = {weights["tensors"]: weights["file"] for weights in kept}
    try:
        path = folder / files[tensors]
        arrays, _, stored = load_tensors(path)
        if stored != tensors:
            raise Damaged(f"{path}: is not the file this run finished with")
    except (FileNotFoundError, KeyError, Damaged) as error:
        reason = error if isinstance(error, Damaged) else f"{folder}: lacks its weights"
        raise LongtailError(f"{reason}; `longtail extract CONFIG --fresh` makes it again") from None
    try:
        spec = check_spec("backbones", run_settings(store, run_id)["representation"]["backbone"])
    except (FileNotFoundError, KeyError, TypeError, Damaged) as error:
        reason = error if isinstance(error, FileNotFoundError | Damaged) else f"{folder}: names no backbone"
        raise LongtailError(f"{reason}; `longtail represent CONFIG` writes config.yaml again") from None
    backbone = registry("backbones").create(spec.name, in_channels=in_channels, **spec.params)
    own = {name.removeprefix(BACKBONE): a for name, a in arrays.items() if name.startswith(BACKBONE)}
    load_network(backbone, own, path)
    return backbone.eval()
