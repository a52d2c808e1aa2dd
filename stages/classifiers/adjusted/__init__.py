"""Classifiers that adjust stage one's head without new weights."""
