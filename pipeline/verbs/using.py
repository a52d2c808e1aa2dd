"""predict, export: a finished classifier at work."""

from __future__ import annotations

import click

from longtail.pipeline.store.store import Store
from longtail.pipeline.verbs.console import say
from longtail.pipeline.verbs.options import (
    classifier_option,
    force_option,
    format_option,
    overrides_argument,
    run_argument,
    split_overrides,
)


@click.command()
@run_argument
@click.argument(
    "inputs",
    nargs=-1,
    required=True,
    metavar="INPUT... [KEY=VALUE]...",
    type=click.Path(),  # for the shell's completion
)
@classifier_option
@click.option(
    "--top", type=click.IntRange(1, 10**6), default=5, show_default=True, help="Classes to name for each."
)
@format_option
@click.pass_obj
def predict(
    store: Store, reference: str, inputs: tuple[str, ...], classifier: str | None, top: int, form: str
) -> None:
    """Name the classes of pictures with a finished classifier.

    RUN is a directory, the beginning of an id, or a config (with KEY=VALUE). INPUT is a picture or a folder
    of pictures, read as the run's own were for evaluation; for a run on feature arrays it is an .npy file
    (N, D). Classes come with probabilities. A picture that cannot be read is named, the others are still
    classified, and the exit status is 1.

    Example: longtail predict digits_lt path/to/pictures --top 3
    """
    from longtail.pipeline.serve.predict import predict

    inputs, overrides = split_overrides(inputs)
    if not inputs:
        raise click.UsageError("name a picture, a folder of pictures, or an .npy file of features")
    predict(store, reference, inputs, overrides, classifier=classifier, top=top, form=form, say=say)


@click.command()
@run_argument
@click.argument("file", metavar="FILE", type=click.Path())
@overrides_argument
@classifier_option
@force_option
@click.pass_obj
def export(
    store: Store, reference: str, file: str, overrides: tuple[str, ...], classifier: str | None, force: bool
) -> None:
    """Write a finished classifier as FILE.onnx or FILE.pt2.

    RUN is a directory, the beginning of an id, or a config (with KEY=VALUE). The file includes normalisation
    and backbone. It takes pixels (N, C, H, W) in [0, 1], or features (N, D) for a run on feature arrays, and
    returns scores; its metadata tell how pictures are read and what the classes are called. It is checked on
    random inputs before it is written.

    Example: longtail export digits_lt model.onnx --classifier crt
    """
    from longtail.pipeline.serve.export import export

    say(export(store, reference, file, overrides, classifier=classifier, force=force))
