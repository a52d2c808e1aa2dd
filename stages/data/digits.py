"""scikit-learn's handwritten digits: real data that every installation has."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from longtail.stages.data import DATASETS, Collection


def sources() -> list[Path]:
    """The file scikit-learn ships."""
    package = importlib.util.find_spec("sklearn").submodule_search_locations[0]
    return [Path(package) / "datasets" / "data" / "digits.csv.gz"]


@DATASETS.register("digits")
def digits() -> Collection:
    """1,797 real handwritten digits of 8×8 pixels in 10 classes, shipped with scikit-learn.

    Pixels 0…16 become 0…240 (×15), grey, one channel; picture files to be predicted must have that scale.

    Source: Alpaydin, Kaynak 1998, UCI Optical Recognition of Handwritten Digits.
    """
    import numpy as np
    from sklearn.datasets import load_digits

    from longtail.stages.data.pictures.in_memory import ImageArrays

    bunch = load_digits()
    images = (bunch.images * 15).astype(np.uint8)[..., None]  # (N, 8, 8, 1)
    part = ImageArrays(images, bunch.target)
    return Collection(train=part, val=None, test=None, class_names=[str(n) for n in range(10)])
