"""The verbs of the command line, each a click command; :mod:`longtail.pipeline.cli` puts them together."""
