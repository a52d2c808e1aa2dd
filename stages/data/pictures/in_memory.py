"""Small images held in memory as uint8 and augmented by whole batches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from longtail.stages.data import Request
from longtail.stages.data.pictures.augment import Augment, Mixture, draw_crops, draw_mixture, mixed
from longtail.stages.data.pictures.preprocessing import Preprocessing
from longtail.stages.data.pictures.reading.channels import mode_of
from longtail.stages.data.pictures.reading.opening import MAX_PIXELS
from longtail.stages.parameters import wrong
from longtail.stages.randomness import generator


class ImageArrays:
    """Images (N, H, W, C) uint8 with labels (N,), on one device.

    Stored channels-last, so that cropping, flipping and picking a batch is a single gather whose result is
    already in the memory format convolutions like best. ``mean`` and ``std`` are per channel, in [0, 255].
    `resize` is the side that pictures from files were resized to before their middle was taken, if larger;
    `background` what transparent ones were laid on, and `max_pixels` the most that one may have. Of two or
    four channels the last is alpha. With `keep_constants` ``mean`` and ``std`` stay as given, whatever the
    pixels' are.
    """

    def __init__(
        self,
        images,
        labels,
        *,
        mean: torch.Tensor | None = None,
        std: torch.Tensor | None = None,
        resize: int | None = None,
        background: str = "white",
        max_pixels: int = MAX_PIXELS,
        keep_constants: bool = False,
    ):
        self.images = torch.as_tensor(images)
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"images must be uint8 (N, H, W, C), got {self.images.dtype} {tuple(self.images.shape)}"
            )
        self.labels = np.asarray(labels, np.int64)
        if self.labels.shape != self.images.shape[:1]:
            shapes = f"{tuple(self.images.shape)} and {self.labels.shape}"
            raise ValueError(f"images (N, H, W, C) must have labels (N,), got {shapes}")
        self.resize, self.keep_constants = resize, keep_constants
        self.background, self.max_pixels = background, max_pixels
        channels = self.images.shape[-1]
        device = self.images.device
        self.mean = torch.zeros(channels, device=device) if mean is None else mean.to(device)
        self.std = torch.full((channels,), 255.0, device=device) if std is None else std.to(device)
        self._padded: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray, labels: np.ndarray) -> ImageArrays:
        """The images at `indices` (copied), relabelled."""
        picked = self.images[torch.as_tensor(indices, device=self.images.device)]
        return self._like(picked, labels, mean=self.mean, std=self.std)

    def _like(self, images: torch.Tensor, labels: np.ndarray, *, mean, std) -> ImageArrays:
        return ImageArrays(
            images,
            labels,
            mean=mean,
            std=std,
            resize=self.resize,
            background=self.background,
            max_pixels=self.max_pixels,
            keep_constants=self.keep_constants,
        )

    def normalized_like(self, train: ImageArrays) -> ImageArrays:
        """This part normalised by the mean and standard deviation of each channel of `train`'s pixels.

        Given constants stay as they are.
        """
        if self.keep_constants:
            return self
        mean, std = train._statistics
        return self._like(self.images, self.labels, mean=torch.tensor(mean), std=torch.tensor(std))

    @cached_property
    def _statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel's pixels; 255 for a deviation of 0."""
        values = torch.arange(256, dtype=torch.float64)
        mean, std = [], []
        for channel in range(self.images.shape[-1]):  # by histogram: exact, and no float copy of the images
            count = torch.zeros(256, dtype=torch.float64)
            for block in self.images.split(4096):
                count += torch.bincount(block[..., channel].flatten().long(), minlength=256).cpu()
            share = count / count.sum()
            mean.append(float((share * values).sum()))
            std.append(float((share * (values - mean[-1]) ** 2).sum().sqrt()) or 255.0)
        return mean, std

    def to(self, device) -> ImageArrays:
        """The same part with its images on `device`."""
        moved = self.images.to(device)
        if moved is self.images:
            return self
        return self._like(moved, self.labels, mean=self.mean, std=self.std)

    @property
    def constants(self) -> dict[str, list[float]]:
        """What :meth:`batch` does to a pixel: (value − mean)/std, values in [0, 255]."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture file becomes what :meth:`batch` gives."""
        height, width, channels = self.images.shape[1:]
        return Preprocessing(
            height,
            width,
            self.resize,
            mode_of(channels),
            kept=True,
            background=self.background,
            max_pixels=self.max_pixels,
            **self.constants,
        )

    def batch(self, indices: Sequence[int]) -> torch.Tensor:
        """Normalised float32 images (B, C, H, W)."""
        rows = torch.as_tensor(np.asarray(indices, np.int64), device=self.images.device)
        return self._normalize(self.images[rows])

    def augmented(
        self, indices: np.ndarray, augment: Augment, rng: np.random.Generator
    ) -> tuple[torch.Tensor, Mixture | None]:
        """Randomly cropped, flipped and mixed images (B, C, H, W), and how they were mixed.

        Raises ValueError for what needs pictures in their own size (resized_crop, jitter).
        """
        if augment.resized_crop is not None or augment.jitter:
            key = "jitter" if augment.jitter else "resized_crop"
            rule = (
                "is for pictures decoded from files (image_list, or image_folder with `in_memory=False`); "
                "images held in memory take pad, flip and mixup"
            )
            raise wrong(key, rule)
        height, width = self.images.shape[1:3]
        device = self.images.device
        rows, cols = draw_crops(len(indices), height, width, augment, rng)  # (B, H), (B, W)
        picked = self._pad(augment.pad)[
            torch.as_tensor(indices, device=device)[:, None, None],
            torch.as_tensor(rows, device=device)[:, :, None],
            torch.as_tensor(cols, device=device)[:, None, :],
        ]  # (B, H, W, C)
        images, mixture = self._normalize(picked), draw_mixture(len(indices), augment, rng)
        return mixed(images, mixture), mixture

    def stream(self, requests: Sequence[Request], augment: Augment | None):
        """The requested batches in turn; see :class:`longtail.stages.data.StreamedPart`."""
        for request in requests:
            if augment is None:
                yield self.batch(request.indices), None
            else:
                yield self.augmented(request.indices, augment, generator(*request.key))

    def _pad(self, pad: int) -> torch.Tensor:
        if not pad:
            return self.images
        if pad not in self._padded:  # once for the whole part: a batch is then one gather
            self._padded[pad] = torch.nn.functional.pad(self.images, (0, 0, pad, pad, pad, pad))
        return self._padded[pad]

    def _normalize(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().sub_(self.mean).div_(self.std).permute(0, 3, 1, 2)
