"""The stages one after another, each done once: training, cached features, classifiers."""
