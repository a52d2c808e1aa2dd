"""What remembers: configuration, identity, caches, files, tables and the command line.

Everything that computes lives in :mod:`longtail.stages`; modules here decide what has to be computed, publish
it under a name made from its content, and never do it twice.
"""
