"""The verbs of the command line, each a click command; :mod:`pipeline.cli` puts them together."""
