"""What classifiers share: linear fits, gradient descent on features, exact paths, saved state."""
