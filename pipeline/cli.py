"""The command line: one verb a stage, results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import click

from pipeline import strict_yaml
from pipeline.checks import check_choices
from pipeline.components import KINDS, Spec
from pipeline.config import Config, load_config
from pipeline.console import fail, log_to_stderr
from pipeline.errors import ConfigError, Interrupted, LongtailError
from pipeline.interrupt import stop_at_once
from pipeline.report import FORMATS, METRICS, records, render
from pipeline.store import Store

OVERRIDE = re.compile(r"[a-z_]\w*(\.\w+)*=")

# -- shared options ---------------------------------------------------------------------------------------


def with_config(command: Callable) -> Callable:
    """``CONFIG [KEY=VALUE ...]``: the command gets a validated Config and the Store."""

    @click.argument("config", metavar="CONFIG")
    @click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
    @click.pass_obj
    @wraps(command)
    def wrapped(store: Store, config: str, overrides: tuple[str, ...], **options):
        return command(load_config(config, overrides), store, **options)

    return wrapped


format_option = click.option(
    "--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="How to print."
)
split_option = click.option(
    "--split",
    type=click.Choice(["test", "val", "all"]),
    default="test",
    show_default=True,
    help="Records of which split.",
)
classifier_option = click.option(
    "--classifier",
    metavar="NAME",
    help="A classifier of the run by name or id; the best on validation by default.",
)
classes_option = click.option("--classes", is_flag=True, help="Show accuracy class by class, by name.")
fresh_option = click.option("--fresh", is_flag=True, help="Do it again even when it is done.")


def splits_of(choice: str) -> tuple[str, ...]:
    """The splits ``--split`` names."""
    return ("val", "test") if choice == "all" else (choice,)


def split_overrides(words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """(files and folders, ``KEY=VALUE`` settings): what exists is a file, whatever its name."""
    settings = [word for word in words if OVERRIDE.match(word) and not os.path.exists(word)]
    return [word for word in words if word not in settings], settings


# -- verbs ------------------------------------------------------------------------------------------------


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--root",
    type=click.Path(file_okay=False),
    default="checkpoints",
    show_default=True,
    envvar="LONGTAIL_ROOT",
    help="Where results are kept.",
)
@click.version_option(package_name="longtail", prog_name="longtail")
@click.pass_context
def cli(context: click.Context, root: str) -> None:
    """Train on long-tailed data in two stages: a representation, then classifiers on its frozen features.

    CONFIG is a YAML file or the name of a shipped recipe (`longtail list configs`); KEY=VALUE overrides a
    setting, e.g. `seed=1` or `representation.epochs=10`. What is done is never done again.

    Example: longtail run digits_lt
    """
    context.obj = Store(root, one_command=True)


@cli.command()
@with_config
@format_option
@split_option
@classes_option
@click.option("--fresh", is_flag=True, help="Start over from stage one.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def run(
    config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool, dry_run: bool
) -> None:
    """Train, extract features, fit every classifier, print the table.

    Example: longtail run digits_lt seed=1
    """
    if dry_run:
        from pipeline import plan

        if form != "table" or split != "test" or classes:
            raise click.UsageError("--dry-run prints no results: leave out --format, --split and --classes")
        click.echo(plan.render(plan.plan(config, store, fresh=fresh)))
        return
    _classify(config, store, form, split, classes, fresh)


@cli.command()
@with_config
@format_option
@split_option
@classes_option
@click.option("--fresh", is_flag=True, help="Start over from stage one.")
def joint(config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool) -> None:
    """`run` with stage one's own head as the only classifier: the end-to-end baseline.

    Example: longtail joint digits_lt representation.sampler=class_balanced
    """
    only_joint = config.model_copy(update={"classifiers": [Spec("classifiers", "joint")]})
    _classify(only_joint, store, form, split, classes, fresh)


@cli.command()
@with_config
@fresh_option
def represent(config: Config, store: Store, fresh: bool) -> None:
    """Stage one: train the representation. The same command continues one that was stopped.

    Prints the representation's directory.

    Example: longtail represent fashion_mnist_lt
    """
    from pipeline.execute import run_stage_one

    one = run_stage_one(config, store, fresh=fresh)
    if one.id is None:
        raise LongtailError(f"data set {config.data.name} holds features already: there is nothing to train")
    click.echo(store.folder("representations", one.id))


@cli.command()
@with_config
@fresh_option
def extract(config: Config, store: Store, fresh: bool) -> None:
    """Cache the frozen features of every split, training first if need be.

    Prints the features' directory.

    Example: longtail extract digits_lt features.checkpoint=best
    """
    from pipeline.execute import run_extraction

    click.echo(store.folder("features", run_extraction(config, store, fresh=fresh)))


@cli.command()
@with_config
@format_option
@split_option
@classes_option
@fresh_option
def classify(config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool) -> None:
    """Stage two: fit classifiers on the cached features, making sure of those first; print the table.

    Example: longtail classify digits_lt 'classifiers=[joint, lws]'
    """
    _stage_two(config, store, form, split, classes, fresh)


@cli.command()
@with_config
@format_option
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes at work.")
def sweep(config: Config, store: Store, form: str, jobs: int) -> None:
    """Compare classifiers and their parameters on the cached features, making sure of those first.

    The configuration's `sweep:` names classifiers with lists or ranges of values; without one a default sweep
    is run. Prints every trial on validation, then each classifier's best on test. What is done is not done
    again.

    Example: longtail sweep digits_lt 'sweep=[ncm, {name: knn, k: [1, 5]}]'
    """
    from pipeline.sweep import run_sweep

    found = run_sweep(config, store, jobs=jobs)
    split = "test" if config.evaluation.protocol == "paper" else "val"
    trials = records(found.trials, splits=(split,), evaluation=config.evaluation)
    winners = records(found.winners, splits=("test",), evaluation=config.evaluation)
    click.echo(render([*trials, *(row for row in winners if row not in trials)], form))


@cli.command()
@click.argument("config", metavar="CONFIG")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--vary", multiple=True, metavar="KEY=a,b,c", help="A setting and its values; may be repeated.")
@click.option("--seeds", type=click.IntRange(1), metavar="N", help="So many seeds, counting up from `seed`.")
@click.option(
    "--data-seeds", type=click.IntRange(1), metavar="N", help="So many splits, counting up from `data.seed`."
)
@click.option("--baseline", metavar="ROW/CLASSIFIER", help="The cell that differences are taken to.")
@click.option(
    "--metric",
    type=click.Choice(METRICS),
    metavar="NAME",
    multiple=True,
    default=METRICS[:1],
    show_default=True,
    help="What a table shows: accuracy, error, many, few, class_accuracy_std...; repeated, a table each.",
)
@format_option
@click.pass_obj
def ablate(
    store: Store,
    config: str,
    overrides: tuple[str, ...],
    vary: tuple[str, ...],
    seeds: int | None,
    data_seeds: int | None,
    baseline: str | None,
    metric: tuple[str, ...],
    form: str,
) -> None:
    """Run a grid of settings times seeds, every classifier on each, and print mean ± deviation.

    The grid is the configuration's `ablation:` or what --vary, --seeds and --data-seeds say. Rows are
    settings, columns are classifiers; seeds and splits are averaged over. Work that runs share is done once,
    what is done is not done again, and a run that fails is reported while the rest goes on.

    Example: longtail ablate digits_lt --seeds 3 --metric accuracy --metric error
    """
    from pipeline.ablation import find_baseline, run_ablation, variants
    from pipeline.tables import cells, render_ablation

    grid = variants(config, overrides, vary=vary, seeds=seeds, data_seeds=data_seeds)
    found = run_ablation(grid, store)
    if found.cells:
        settings = grid[0].config
        cell = find_baseline(found, baseline or settings.ablation.baseline)
        thresholds = {"many": settings.evaluation.many, "few": settings.evaluation.few}
        click.echo(render_ablation(cells(store, found, cell, **thresholds), metric, form))
    if found.failed:
        raise LongtailError("\n".join(f"failed: {said}" for said in found.failed))


@cli.command()
@click.argument("references", nargs=-1, metavar="[CONFIG or RUN]... [KEY=VALUE]...")
@format_option
@split_option
@classes_option
@click.option(
    "--html", type=click.Path(dir_okay=False), metavar="FILE", help="Write a page with figures, too."
)
@click.option("--figures", type=click.Path(file_okay=False), metavar="DIR", help="Write every figure, too.")
@click.option("--figures-format", type=click.Choice(["svg", "png"]), help="Of --figures: svg by default.")
@click.pass_obj
def report(
    store: Store,
    references: tuple[str, ...],
    form: str,
    split: str,
    classes: bool,
    html: str | None,
    figures: str | None,
    figures_format: str | None,
) -> None:
    """Print finished runs. RUN is a directory, the beginning of an id, or a config; none means all.

    KEY=VALUE overrides a setting of each CONFIG, as it did when that was run. --html writes one page that
    needs no network: sortable results, figures, provenance. Figures are about the test split, what is chosen
    about validation.

    Example: longtail report digits_lt seed=1 --html digits.html
    """
    if figures_format and figures is None:
        raise click.UsageError("--figures-format is for --figures DIR")
    from pipeline.runs import find_results

    runs, overrides = split_overrides(references)
    found = find_results(store, runs, overrides)
    rows = [
        row
        for results, evaluation in found
        for row in records(results, splits=splits_of(split), evaluation=evaluation)
    ]
    if not rows:
        raise LongtailError(f"no finished run under {store.root}; `longtail run CONFIG` makes one")
    if html or figures:
        from pipeline.page.book import write

        write(store, found, rows, html=html, figures=figures, form=figures_format or "svg")
    _echo(rows, form, classes)


@cli.command()
@click.argument("reference", metavar="RUN")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT... [KEY=VALUE]...")
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
    from pipeline.predict import predict

    inputs, overrides = split_overrides(inputs)
    if not inputs:
        raise click.UsageError("name a picture, a folder of pictures, or an .npy file of features")
    predict(store, reference, inputs, overrides, classifier=classifier, top=top, form=form, say=click.echo)


@cli.command()
@click.argument("reference", metavar="RUN")
@click.argument("file", metavar="FILE")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
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
    from pipeline.export import export

    click.echo(export(store, reference, file, overrides, classifier=classifier, force=force))


@cli.command()
@click.argument("config", metavar="[CONFIG]", default="boundaries")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    default="boundaries.svg",
    show_default=True,
    help="What to write: .svg, .png or .html.",
)
@click.pass_obj
def boundaries(store: Store, config: str, overrides: tuple[str, ...], out: Path) -> None:
    """Draw decision boundaries on two features: joint, τ from 0 to 1, cosine, class means.

    CONFIG needs features of width 2; the default is a recipe that squeezes digits through a bottleneck. What
    is missing is run first. For features of your own: `features data.root=FILE.npz`.

    Example: longtail boundaries --out boundaries.svg
    """
    from pipeline.boundaries import draw_boundaries

    draw_boundaries(load_config(config, overrides), store, out)


@cli.command("list")
@click.argument("kind", required=False, type=click.Choice([*KINDS, "configs"]), metavar="[KIND]")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS[:2]),
    default="table",
    show_default=True,
    help="How to print.",
)
def list_(kind: str | None, form: str) -> None:
    """List components with their parameters and source, and shipped configurations.

    KIND is one of datasets, samplers, losses, reweightings, backbones, classifiers... or configs; without
    one everything is listed.

    Example: longtail list samplers
    """
    from pipeline.show import listing

    click.echo(listing(kind, form))


@cli.command()
@click.argument("reference", metavar="CONFIG|RUN")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.pass_obj
def show(store: Store, reference: str, overrides: tuple[str, ...]) -> None:
    """Show a configuration with every default filled in and its class counts, or a run's state.

    RUN is the directory or the beginning of the id of a representation, of features or of a classifier.

    Example: longtail show fashion_mnist_lt data.imbalance_factor=10
    """
    from pipeline.naming import find_result
    from pipeline.show import class_chart, result_state
    from pipeline.start import check_start

    found = None if overrides else find_result(store, reference)
    if found is not None:
        click.echo(result_state(store, *found))
        return
    config = load_config(reference, overrides)
    check_choices(config, refuse=False)
    check_start(config, store)
    click.echo(strict_yaml.dump(config.full()).rstrip())
    click.echo()
    click.echo(class_chart(config))


@cli.command()
@click.argument("folder", metavar="FOLDER")
@click.option("--output", metavar="FILE", help="Where to write; FOLDER's name with .yaml by default.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
def init(folder: str, output: str | None, force: bool) -> None:
    """Write a configuration for a folder of pictures, each choice with its reason.

    FOLDER holds a folder per class, alone or below train/, val/ and test/.

    Example: longtail init path/to/pictures
    """
    from pipeline.starter import start

    click.echo(start(folder, output, force=force))


@cli.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--unfinished", is_flag=True, help="Remove unfinished results, too.")
@click.option("--states", is_flag=True, help="Remove optimiser states of finished runs, too.")
@click.pass_obj
def clean(store: Store, dry_run: bool, unfinished: bool, states: bool) -> None:
    """Print what takes how much space under the root, and remove what nothing needs.

    That is what killed processes left, and features whose representation is gone. Whatever was written within
    the hour stays, and so does every file that is not longtail's.

    Example: longtail clean --dry-run
    """
    from pipeline.clean import clean

    click.echo(clean(store, dry_run=dry_run, unfinished=unfinished, states=states))


def _classify(config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool) -> None:
    from pipeline.execute import run_extraction, run_stage_one

    if fresh:
        check_choices(config)
        run_stage_one(config, store, fresh=True)
        run_extraction(config, store, fresh=True)
    _stage_two(config, store, form, split, classes, fresh)


def _stage_two(config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool) -> None:
    """Classifiers and their table; LongtailError at the end naming those that could not be fitted."""
    from pipeline.execute import run_stage_two

    failed: list[str] = []
    results = run_stage_two(config, store, fresh=fresh, on_failure=failed.append)
    if results:
        _echo(records(results, splits=splits_of(split), evaluation=config.evaluation), form, classes)
    if failed:
        raise LongtailError("\n".join(f"failed: {said}" for said in failed))


def _echo(rows: list[dict], form: str, classes: bool) -> None:
    from pipeline.class_table import render_classes

    click.echo(render_classes(rows, form) if classes else render(rows, form))


# -- entry point ------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 failure, 2 usage, 130 interrupt, 143 terminated.

    A failure prints one line; LONGTAIL_TRACEBACK=1 in the environment prints where it arose.
    """
    log_to_stderr()
    signal.signal(signal.SIGTERM, stop_at_once)
    try:
        cli.main(arguments, prog_name="longtail", standalone_mode=False)
        if sys.stdout is not None:  # None when the caller closed it
            sys.stdout.flush()
        sys.exit(0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        fail("stopped", 130)
    except Interrupted as error:
        fail(str(error), 128 + error.signum)
    except BrokenPipeError:  # the reader of our output left: nothing to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ConfigError as error:
        fail(str(error), 2)
    except (LongtailError, ValueError, OSError, ImportError) as error:
        fail(str(error), 1)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not imported for this
            raise
        fail(f"out of GPU memory: {str(error).splitlines()[0]} A smaller representation.batch_size helps", 1)


if __name__ == "__main__":
    main()
