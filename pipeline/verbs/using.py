"""predict, export: a finished classifier at work."""

from __future__ import annotations

import click

from longtail.pipeline.store.store import Store
from longtail.pipeline.verbs.options import (
    classifier_option,
    complete,
    format_option,
    overrides_argument,
    split_overrides,
)


@click.command()
@click.argument("reference", metavar="RUN", shell_complete=complete("configs"))
@click.argument(
    "inputs",
    nargs=-1,
    required=True,
    metavar="INPUT... [KEY=VALUE]...",
    type=click.Path(),  # for the shell's completion
)
@classifier_option
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Classes for each.")
@format_option
@click.pass_obj
def predict(
    store: Store, reference: str, inputs: tuple[str, ...], classifier: str | None, top: int, form: str
) -> None:
    """Name the classes of pictures by a finished classifier, with probabilities.

    RUN is a directory, the beginning of an id, or a config (with KEY=VALUE). INPUT is a picture or a folder
    of them, read as evaluation read the run's own; for a run on feature arrays an .npy file (N, D). What
    cannot be read is named, the rest goes on, and the exit status is 1.

    Example: longtail predict digits_lt path/to/pictures --top 3
    """
    from longtail.pipeline.serve.predict import predict

    inputs, overrides = split_overrides(inputs)
    if not inputs:
        raise click.UsageError("name a picture, a folder of pictures, or an .npy file of features")
    predict(store, reference, inputs, overrides, classifier=classifier, top=top, form=form, say=click.echo)


@click.command()
@click.argument("reference", metavar="RUN", shell_complete=complete("configs"))
@click.argument("file", metavar="FILE", type=click.Path())
@overrides_argument
@classifier_option
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@click.pass_obj
def export(
    store: Store, reference: str, file: str, overrides: tuple[str, ...], classifier: str | None, force: bool
) -> None:
    """Write a finished classifier, with normalisation and backbone, as FILE.onnx or FILE.pt2.

    RUN is a directory, the beginning of an id, or a config (with KEY=VALUE). The file takes pixels
    (N, C, H, W) in [0, 1], for a run on feature arrays features (N, D), gives scores, and says in its
    metadata how pictures are read and what the classes are called. It is tried on random inputs before it is
    written.

    Example: longtail export digits_lt model.onnx --classifier crt
    """
    from longtail.pipeline.serve.export import export

    click.echo(export(store, reference, file, overrides, classifier=classifier, force=force))
