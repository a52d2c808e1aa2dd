"""The transform from a picture decoded on demand to a tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL.Image import Image

from longtail.stages.data.pictures.augment import Augment
from longtail.stages.data.pictures.reading.channels import premultiplied

if TYPE_CHECKING:
    from torchvision.transforms import v2


def _middle(image: Image) -> Image:
    """A picture cropped to at most twice as long as wide: no central square shows the ends."""
    width, height = image.size
    longest = 2 * min(width, height)
    if max(width, height) <= longest:
        return image
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, min(width, left + longest), min(height, top + longest)))


def picture_transform(image_size: int, resize: int, augment: Augment | None) -> v2.Compose:
    """A transform to (C, S, S) uint8, S `image_size`: random as `augment` says, or evaluation's (None).

    Colours come out multiplied by alpha, where there is one; jitter changes the colours alone.
    """
    from torchvision.transforms import v2  # takes seconds, and counting pictures does without

    augment = augment or Augment()
    steps: list = [_middle, v2.Resize(resize), v2.CenterCrop(image_size)]
    if augment.resized_crop is not None:
        steps = [v2.RandomResizedCrop(image_size, scale=(augment.resized_crop, 1.0))]
    if augment.pad:
        steps.append(v2.RandomCrop(image_size, padding=augment.pad))
    if augment.flip:
        steps.append(v2.RandomHorizontalFlip())
    if augment.jitter:
        steps.append(v2.ColorJitter(augment.jitter, augment.jitter, augment.jitter))
    return v2.Compose([*steps, premultiplied, v2.PILToTensor()])
