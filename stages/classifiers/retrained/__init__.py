"""Classifiers that learn anew on frozen features."""
