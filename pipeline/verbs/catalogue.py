"""Every verb by name, imported when it is used: ``longtail --help`` needs no more than a line about each."""

from __future__ import annotations

from importlib import import_module

import click

# name → module of this package, function in it, first sentence of its docstring (a test compares them)
VERBS = {
    "run": ("running", "run", "Train, extract features, fit classifiers and print the table."),
    "represent": ("running", "represent", "Train the representation: stage one."),
    "extract": ("running", "extract", "Cache the frozen features of every split."),
    "classify": ("running", "classify", "Fit classifiers on the cached features: stage two."),
    "joint": ("running", "joint", "Like `run`, with stage one's own head as the only classifier."),
    "sweep": ("comparing", "sweep", "Compare classifiers and their parameters on cached features."),
    "ablate": ("comparing", "ablate", "Run a grid of settings and seeds and print mean ± deviation."),
    "report": ("comparing", "report", "Print finished runs."),
    "boundaries": ("comparing", "boundaries", "Draw decision boundaries on features of width two."),
    "predict": ("using", "predict", "Name the classes of pictures with a finished classifier."),
    "export": ("using", "export", "Write a finished classifier as FILE.onnx or FILE.pt2."),
    "init": ("inspecting", "init", "Write a first configuration for a folder of pictures."),
    "list": ("inspecting", "list_", "List components and shipped configurations."),
    "show": ("inspecting", "show", "Show a full configuration, its class counts and progress."),
    "clean": ("inspecting", "clean", "Show what takes up space and remove what nothing needs."),
}


HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


class LazyCommand(click.Command):
    """A verb known by name and first line; the command itself is imported when its arguments are parsed."""

    def __init__(self, name: str):
        self.module, self.function, summary = VERBS[name]
        super().__init__(name, short_help=summary)

    def load(self) -> click.Command:
        """The command this one stands for."""
        return getattr(import_module(f"longtail.pipeline.verbs.{self.module}"), self.function)

    def make_context(self, *args, **options) -> click.Context:
        """The context of the command itself: click goes on with that one, for help and completion too."""
        return self.load().make_context(*args, **HELP_OPTIONS, **options)
