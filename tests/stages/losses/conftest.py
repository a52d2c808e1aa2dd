"""What holds for every loss: gradients, order, absent classes, huge logits, weights."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), [60, 30, 10, 4])
    return (rng.standard_normal((len(y), 6)) + 4 * np.eye(6)[y]).astype(np.float32), y
