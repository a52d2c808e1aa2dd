"""Pictures too many or too large for memory: decoded when they are needed, by worker processes."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from copy import copy
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from longtail.stages.data import Request
from longtail.stages.data.files.each_file import usable_cores
from longtail.stages.data.pictures.augment import Augment, Mixture, draw_mixture, mixed
from longtail.stages.data.pictures.decoding_workers import (
    end_workers,
    leave_signals_to_the_parent,
    start_workers,
)
from longtail.stages.data.pictures.preprocessing import Preprocessing
from longtail.stages.data.pictures.read_picture import open_picture
from longtail.stages.data.pictures.settings import PictureSettings
from longtail.stages.data.pictures.torchvision_transform import picture_transform
from longtail.stages.randomness import generator
from longtail.stages.wording import printable

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # ImageNet's, of pixels in 0…255
LUMA = (0.299, 0.587, 0.114)  # of R, G and B in a grey pixel (ITU-R BT.601), as Pillow converts
HALF = 127.5  # mean and deviation of alpha: it is 1 where a pixel is opaque, and −1 where it is clear
MOST_WORKERS = 16  # by default: past that a disk is the limit


class ImageFiles:
    """Pictures in files below `root`, by path (N,), with labels (N,); batches are (B, C, S, S), S image_size.

    Evaluation resizes a picture until the shorter side has `resize` pixels (None: 256/224 of S) and crops it
    to the central square of S. `workers` processes decode and augment, whole batches each; what they draw
    depends on the request and a sample's place in it alone. `mode` rgb gives three channels,
    gray one. Without given constants pictures are normalised by ImageNet's; gray ones by the luma of those,
    which is exact where the channels of a pixel rise and fall together. Alpha, if kept, becomes −1…1.
    """

    def __init__(
        self,
        root: str | Path,
        paths: Sequence[str],
        labels,
        settings: PictureSettings | None = None,
        *,
        device: str | torch.device = "cpu",
    ):
        self.root, self.settings = Path(root), settings or PictureSettings()
        self.paths = np.array([os.fsencode(path) for path in paths], "S")  # forked workers share these bytes
        self.labels = _label_each(self.paths, labels)
        self.device = torch.device(device)
        self.image_size, self.mode = self.settings.image_size, self.settings.mode
        self.resize = self.settings.resize or round(self.image_size * 256 / 224)
        self.workers = self.settings.workers or min(usable_cores(), MOST_WORKERS)
        imagenet = {"mean": _in_mode(MEAN, self.settings), "std": _in_mode(STD, self.settings)}
        self.constants = {**imagenet, **self.settings.given_constants}  # of pixels in 0…255

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Path:
        """Where a sample's picture lies."""
        return self.root / os.fsdecode(self.paths[index])

    @property
    def preprocessing(self) -> Preprocessing:
        """What :meth:`batch` makes of a picture."""
        size, settings = self.image_size, self.settings
        return Preprocessing(
            size,
            size,
            self.resize,
            self.mode,
            kept=False,
            background=settings.background,
            max_pixels=settings.max_pixels,
            **self.constants,
        )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """A sample's shape, for which no picture has to be decoded."""
        return (len(self.constants["mean"]), self.image_size, self.image_size)

    def take(self, indices: np.ndarray, labels: np.ndarray) -> ImageFiles:
        """The pictures at `indices`, relabelled."""
        return self._like(self.paths[indices], labels, self.device)

    def normalized_like(self, train: ImageFiles) -> ImageFiles:
        """This part: its constants are ImageNet's or given, whatever it is trained on."""
        return self

    def to(self, device) -> ImageFiles:
        """The same part with its batches on `device`."""
        return self._like(self.paths, self.labels, device)

    def _like(self, paths: np.ndarray, labels: np.ndarray, device) -> ImageFiles:
        part = copy(self)
        part.paths, part.labels, part.device = paths, _label_each(paths, labels), torch.device(device)
        return part

    def batch(self, indices: Sequence[int]) -> torch.Tensor:
        """Normalised float32 images (B, C, S, S), decoded here and now. ValueError for one that cannot be."""
        pixels = _DecodedBatches(self, [Request(np.asarray(indices), ())], None)[0]
        return self._normalized(pixels)

    def stream(
        self, requests: Sequence[Request], augment: Augment | None
    ) -> Generator[tuple[torch.Tensor, Mixture | None]]:
        """The requested batches in turn, decoded ahead of their use; see ``StreamedPart``.

        Raises ValueError naming a picture that cannot be read, ChildProcessError when a worker dies.
        """
        loader = DataLoader(
            _DecodedBatches(self, requests, augment),
            batch_size=None,  # an item is a batch
            num_workers=min(self.workers, len(requests)),
            worker_init_fn=leave_signals_to_the_parent,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # the loader draws a seed from it; not from the global generator
        )
        batches = start_workers(loader)
        try:
            for request in requests:
                images, mixture = self._normalized(_next_batch(batches)), None
                if augment is not None:
                    mixture = draw_mixture(len(images), augment, generator(*request.key))
                yield mixed(images, mixture), mixture
        finally:
            end_workers(batches)

    def _normalized(self, pixels: torch.Tensor | str) -> torch.Tensor:
        """Pixels (B, C, S, S) uint8 as the network takes them; a str, a worker's error, is raised."""
        if isinstance(pixels, str):
            raise ValueError(pixels)
        pixels = pixels.to(self.device, non_blocking=True)
        mean, std = (
            torch.tensor(self.constants[key], device=self.device).view(-1, 1, 1) for key in ("mean", "std")
        )
        return pixels.float().sub_(mean).div_(std)


def _label_each(paths: np.ndarray, labels) -> np.ndarray:
    """`labels` as integers (N,); ValueError unless there is one for each of `paths` (N,)."""
    labels = np.asarray(labels, np.int64)
    if labels.shape != paths.shape:
        raise ValueError(f"pictures (N,) must have labels (N,), got {paths.shape} and {labels.shape}")
    return labels


def _in_mode(constants: Sequence[float], settings: PictureSettings) -> list[float]:
    """Constants of the channels that pictures have, from those of R, G and B."""
    colours = list(constants) if settings.mode == "rgb" else [float(np.dot(LUMA, constants))]
    return colours + [HALF] * (settings.channels - len(colours))


def _next_batch(batches: Iterator[torch.Tensor | str]) -> torch.Tensor | str:
    """The next of the workers' batches; ChildProcessError when a worker has died."""
    try:
        return next(batches)
    except (RuntimeError, ConnectionError, EOFError, FileNotFoundError) as error:
        # A worker that dies while it hands over a batch breaks the connection before torch sees it dead.
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        cause = " ".join(str(error).split()) or type(error).__name__
        raise ChildProcessError(
            f"a process that decodes pictures died ({cause}); "
            "if memory or /dev/shm ran out, fewer `workers` need less"
        ) from None


class _DecodedBatches(Dataset):
    """Batches of pixels (B, C, S, S) uint8 by request number; a str says which picture cannot be read.

    (An exception would reach the parent wrapped in the worker's traceback.)
    """

    def __init__(self, part: ImageFiles, requests: Sequence[Request], augment: Augment | None):
        self.part, self.requests, self.random = part, requests, augment is not None
        self.transform = picture_transform(part.image_size, part.resize, augment)

    def __len__(self) -> int:
        return len(self.requests)

    def __getitem__(self, number: int) -> torch.Tensor | str:
        request = self.requests[number]
        size, settings = self.part.image_size, self.part.settings
        pixels = torch.empty((len(request.indices), settings.channels, size, size), dtype=torch.uint8)
        with torch.random.fork_rng(devices=[], enabled=self.random):
            for place, index in enumerate(request.indices):
                if self.random:
                    torch.manual_seed(int(generator(*request.key, place).integers(2**63)))
                path = self.part.path(index)
                try:
                    pixels[place] = self.transform(open_picture(path, **settings.reading))
                except Exception as error:  # Pillow raises anything, from OSError to IndexError
                    return (
                        f"{printable(path)}: cannot be read ({error or type(error).__name__}); "
                        "repair or remove it, or set `unreadable='skip'`"
                    )
        return pixels
