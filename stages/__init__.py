"""What computes: data, samplers, losses, networks, features, classifiers, metrics.

Modules here know arrays, tensors and modules. Configuration files, run directories and the command line
live in :mod:`pipeline`, which imports this package and is never imported by it.
"""
