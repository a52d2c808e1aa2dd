"""Pictures too many or too large for memory: decoded when they are needed, by worker processes."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from longtail.stages.data import Request
from longtail.stages.data.pictures.augment import Augment, Mixture, draw_mixture
from longtail.stages.data.pictures.preprocessing import Preprocessing
from longtail.stages.data.pictures.reading import open_picture, usable_cores
from longtail.stages.data.pictures.transform import picture_transform
from longtail.stages.data.pictures.workers import end_workers, leave_signals_to_the_parent, start_workers
from longtail.stages.randomness import generator

if TYPE_CHECKING:
    pass

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # ImageNet's, of pixels in 0…255
LUMA = (0.299, 0.587, 0.114)  # of R, G and B in a grey pixel (ITU-R BT.601), as Pillow converts
MOST_WORKERS = 16  # by default: past that a disk is the limit


class ImageFiles:
    """Pictures in files below `root`, by path (N,), with labels (N,); batches are (B, C, S, S), S image_size.

    As they are, pictures are resized until the shorter side has `resize` pixels and cropped to the central
    square of S. `workers` processes decode and augment, whole batches each; what they draw depends on the
    request and a sample's place in it, never on who works it off. `mode` rgb gives three channels, gray one,
    normalised by what ImageNet's constants come to where the channels of a pixel rise and fall together.
    """

    def __init__(
        self,
        root: str | Path,
        paths: Sequence[str],
        labels,
        *,
        image_size: int = 224,
        resize: int | None = None,
        mode: Literal["rgb", "gray"] = "rgb",
        workers: int | None = None,
        device: str | torch.device = "cpu",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        self.root, self.image_size, self.mode = Path(root), image_size, mode
        self.resize = resize or round(image_size * 256 / 224)
        self.paths = np.array([os.fsencode(path) for path in paths], "S")  # forked workers share these bytes
        self.labels = np.asarray(labels, np.int64)
        self.workers = workers or min(usable_cores(), MOST_WORKERS)
        self.device = torch.device(device)
        self.mean, self.std = (
            list(given) if given is not None else _of_mode(usual, mode)
            for given, usual in ((mean, MEAN), (std, STD))
        )

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Path:
        """Where a sample's picture lies."""
        return self.root / os.fsdecode(self.paths[index])

    @property
    def constants(self) -> dict[str, list[float]]:
        """What :meth:`batch` does to a pixel: (value − mean)/std, values in [0, 255]."""
        return {"mean": self.mean, "std": self.std}

    @property
    def preprocessing(self) -> Preprocessing:
        """What :meth:`batch` makes of a picture."""
        size = self.image_size
        return Preprocessing(size, size, self.resize, self.mode, kept=False, **self.constants)

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
        options = {name: getattr(self, name) for name in ("image_size", "resize", "mode", "workers")}
        part = ImageFiles(self.root, [], labels, device=device, **options, **self.constants)
        part.paths = paths
        return part

    def batch(self, indices: Sequence[int]) -> torch.Tensor:
        """Normalised float32 images (B, C, S, S), decoded here and now. ValueError for one that cannot be."""
        pixels = _Worked(self, [Request(np.asarray(indices), ())], None)[0]
        return self._ready(pixels)

    def stream(
        self, requests: Sequence[Request], augment: Augment | None
    ) -> Generator[tuple[torch.Tensor, Mixture | None]]:
        """The requested batches in turn, decoded ahead of their use; see ``StreamedPart``.

        Raises ValueError naming a picture that cannot be read, ChildProcessError when a worker dies.
        """
        loader = DataLoader(
            _Worked(self, requests, augment),
            batch_size=None,  # an item is a batch
            num_workers=min(self.workers, len(requests)),
            worker_init_fn=leave_signals_to_the_parent,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # it draws a seed, which nothing here has a use for
        )
        batches = start_workers(loader)
        try:
            for request in requests:
                yield self._mixed(self._ready(_received(batches)), request, augment)
        finally:
            end_workers(batches)

    def _ready(self, pixels: torch.Tensor | str) -> torch.Tensor:
        """uint8 (B, C, S, S) to what the network takes; a worker's complaint is raised."""
        if isinstance(pixels, str):
            raise ValueError(pixels)
        pixels = pixels.to(self.device, non_blocking=True)
        mean, std = (torch.tensor(c, device=self.device).view(-1, 1, 1) for c in (self.mean, self.std))
        return pixels.float().sub_(mean).div_(std)

    def _mixed(self, images, request: Request, augment: Augment | None):
        mixture = None
        if augment is not None:
            mixture = draw_mixture(len(images), augment, generator(*request.key))
        if mixture is not None:
            partner = images[torch.as_tensor(mixture.partner, device=self.device)]
            images = mixture.share * images + (1 - mixture.share) * partner
        return images, mixture


def _of_mode(constants: Sequence[float], mode: str) -> list[float]:
    """Constants of the channels that `mode` has, from those of R, G and B."""
    return list(constants) if mode == "rgb" else [float(np.dot(LUMA, constants))]


def _received(batches: Iterator[torch.Tensor | str]) -> torch.Tensor | str:
    """The next of the workers' batches; ChildProcessError when one of them is no more."""
    try:
        return next(batches)
    except (RuntimeError, ConnectionError, EOFError, FileNotFoundError) as error:
        # A worker that dies while it hands over a batch breaks the connection before torch sees it dead.
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise ChildProcessError(
            f"a process that decodes pictures died ({said}); "
            "if memory or /dev/shm ran out, fewer system.workers need less"
        ) from None


class _Worked(Dataset):
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
        size, channels = self.part.image_size, 3 if self.part.mode == "rgb" else 1
        pixels = torch.empty((len(request.indices), channels, size, size), dtype=torch.uint8)
        with torch.random.fork_rng(devices=[], enabled=self.random):
            for place, index in enumerate(request.indices):
                if self.random:
                    torch.manual_seed(int(generator(*request.key, place).integers(2**63)))
                path = self.part.path(index)
                try:
                    pixels[place] = self.transform(open_picture(path, self.part.mode))
                except Exception as error:  # Pillow raises anything, from OSError to IndexError
                    return (
                        f"{path}: cannot be read ({error or type(error).__name__}); repair or remove it, "
                        "or set data.unreadable=skip"
                    )
        return pixels
