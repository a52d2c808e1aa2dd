"""A finished classifier as one file that other programs run: ONNX, or torch.export's .pt2."""

from __future__ import annotations

import importlib.metadata
import io
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.pipeline.errors import LongtailError
from longtail.pipeline.files.outputs import output_path
from longtail.pipeline.files.publish import publish_bytes
from longtail.pipeline.serve.finished_model import FinishedModel, load_finished_model
from longtail.pipeline.store.choose_classifier import choose_classifier
from longtail.pipeline.store.store import Store

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

log = logging.getLogger("longtail")

Run = Callable[["torch.Tensor"], "np.ndarray"]  # what a written file makes of an input

TOLERANCE = 1e-4  # of the largest score: beyond that a file is not the classifier it should be
TRIED = (1, 5)  # batch sizes of the random inputs a file is tried on
MOST_BYTES = 2**31 - 2**24  # an ONNX file is one protobuf message, which ends at 2 GiB; the rest is the graph
NEEDS_EXTRA = "writing .onnx needs onnx, onnxscript and onnxruntime: pip install 'longtail[export]'"


def export(
    store: Store,
    reference: str,
    file: str,
    overrides: Sequence[str] = (),
    *,
    classifier: str | None = None,
    force: bool = False,
) -> str:
    """Write the classifier that is meant to `file`, by its suffix .onnx or .pt2; returns a message about it.

    The file takes pixels (N, C, H, W) float32 in [0, 1], or features (N, D) where the run began with those,
    any N, and gives scores (N, classes); features stay float32, whatever type they were cached in. It is
    tried on random inputs before it comes to exist. LongtailError when its scores are not torch's, for a file
    that exists (unless `force`), and for a classifier that cannot be written; ImportError without the extra.
    """
    suffix = Path(file).suffix
    if suffix not in WRITERS:
        raise LongtailError(f"{file}: must end in {' or '.join(WRITERS)}, which says what is written")
    path = output_path(file, "a model", force=force)
    write = WRITERS[suffix]()
    result, _ = choose_classifier(store, reference, overrides, classifier)
    finished = load_finished_model(store, result)
    model, example = build_module(finished)
    content, run = write(model, example, model_metadata(finished))
    difference = largest_difference(model, run, example)
    if not difference <= TOLERANCE:
        raise LongtailError(
            f"{path}: not written: its scores differ from torch's by {difference:.1e} of the largest, "
            f"more than {TOLERANCE:g}"
        )
    publish_bytes(output_path(file, "a model", force=force), content)
    return (
        f"written: {path} ({result.description}, {len(content) / 2**20:.1f} MiB; scores differ from torch's "
        f"by at most {difference:.1e} of the largest)"
    )


def build_module(finished: FinishedModel) -> tuple[nn.Module, torch.Tensor]:
    """The module a file is written from, and an input of two rows for it."""
    import torch

    from longtail.stages.pixel_classifier import PixelClassifier

    try:
        scores = finished.estimator.as_module()
    except ValueError as error:
        raise LongtailError(f"{finished.result.description} cannot be exported: {error}") from None
    generator = torch.Generator().manual_seed(0)
    shape = finished.preprocessing
    if shape is None:
        example = torch.randn(2, finished.estimator.n_features_in_, generator=generator)
        return scores.eval(), example
    model = PixelClassifier(finished.backbone, scores, mean=shape.mean, std=shape.std)
    return model.eval(), torch.rand(2, len(shape.mean), shape.height, shape.width, generator=generator)


def model_metadata(finished: FinishedModel) -> dict[str, str]:
    """What a file says of itself, each value as JSON.

    Of pictures: height, width, resize, mode and kept as in :class:`Preprocessing`; mean and std, of pixels
    in [0, 1], are for the record, since the model applies them itself.
    """
    result = finished.result
    facts: dict[str, object] = {
        "longtail": importlib.metadata.version("longtail"),
        "run": result.run,
        "representation": result.representation,
        "classifier": result.classifier,
        "params": result.params,
        "fitted": result.fitted,
        "classes": finished.class_names,
        "scores": "logits" if finished.estimator.gives_logits else "distances or votes",
        "input": "features" if finished.preprocessing is None else "pixels in [0, 1]",
    }
    if finished.preprocessing is not None:
        shape = finished.preprocessing
        constants = {key: [value / 255 for value in getattr(shape, key)] for key in ("mean", "std")}
        facts |= asdict(shape) | constants | {"normalization": "in the model: do not apply mean and std"}
    return {key: json.dumps(value, ensure_ascii=False) for key, value in facts.items()}


def largest_difference(model: nn.Module, run: Run, example: torch.Tensor) -> float:
    """Of the scores of random inputs, in parts of the largest; infinite where only one side is."""
    import numpy as np
    import torch

    generator, worst = torch.Generator().manual_seed(1), 0.0
    for count in TRIED:
        shape = (count, *example.shape[1:])
        draw = torch.rand if example.ndim == 4 else torch.randn
        inputs = draw(shape, generator=generator)
        with torch.inference_mode():
            expected = model(inputs).numpy()
        scores = run(inputs)
        finite = np.isfinite(expected)
        if scores.shape != expected.shape or not np.array_equal(scores[~finite], expected[~finite]):
            return np.inf
        if not np.isfinite(scores[finite]).all():  # NaN would compare as no difference
            return np.inf
        gap = np.abs(scores[finite] - expected[finite]).max()
        worst = max(worst, float(gap / max(np.abs(expected[finite]).max(), 1e-12)))
    return worst


# -- formats ----------------------------------------------------------------------------------------------


def onnx_writer():
    """``write(model, example, metadata) → (content, run)`` for ONNX; ImportError without the extra."""
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter imports it late
    except ImportError as error:
        raise ImportError(NEEDS_EXTRA) from error

    def write(model: nn.Module, example: torch.Tensor, metadata: dict[str, str]) -> tuple[bytes, Run]:
        import torch

        held = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
        if held > MOST_BYTES:
            raise LongtailError(
                f"the model holds {held / 2**30:.1f} GiB, an .onnx file at most 2; name a .pt2 file"
            )
        name = "pixels" if example.ndim == 4 else "features"
        program = torch.onnx.export(
            _exported(model, example), (), input_names=[name], output_names=["scores"], dynamo=True,
            verbose=False,
        )  # fmt: skip
        proto = program.model_proto
        for node in proto.graph.node:
            del node.metadata_props[:]  # stack traces, with this machine's paths
        onnx.helper.set_model_props(proto, metadata)
        onnx.checker.check_model(proto)
        content = proto.SerializeToString()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return content, lambda inputs: session.run(None, {name: inputs.numpy()})[0]

    return write


def pt2_writer():
    """The same for torch.export's format, with the metadata in its extra file ``longtail.json``."""

    def write(model: nn.Module, example: torch.Tensor, metadata: dict[str, str]) -> tuple[bytes, Run]:
        import torch

        file = io.BytesIO()
        torch.export.save(
            _exported(model, example), file, extra_files={"longtail.json": json.dumps(metadata)}
        )
        content = file.getvalue()
        loaded = torch.export.load(io.BytesIO(content)).module()
        return content, lambda inputs: loaded(inputs).detach().numpy()

    return write


def _exported(model: nn.Module, example: torch.Tensor) -> torch.export.ExportedProgram:
    """The model traced for any number of rows."""
    import torch

    rows = torch.export.Dim("rows", min=1)
    program = torch.export.export(model, (example,), dynamic_shapes=({0: rows},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # this machine's paths
    return program


WRITERS = {".onnx": onnx_writer, ".pt2": pt2_writer}
