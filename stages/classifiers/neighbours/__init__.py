"""Classifiers that go by distances: class means and nearest neighbours."""
