"""What a decoded picture goes through before it is a tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL.Image import Image

from longtail.stages.data.pictures.augment import Augment

if TYPE_CHECKING:
    from torchvision.transforms import v2

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # ImageNet's, of pixels in 0…255
LUMA = (0.299, 0.587, 0.114)  # of R, G and B in a grey pixel (ITU-R BT.601), as Pillow converts
MOST_WORKERS = 16  # by default: past that a disk is the limit


def _middle(image: Image) -> Image:
    """The middle of a picture over twice as long as wide, which is all that a central square shows of it."""
    width, height = image.size
    long = 2 * min(width, height)
    if max(width, height) <= long:
        return image
    left, top = max(0, (width - long) // 2), max(0, (height - long) // 2)
    return image.crop((left, top, min(width, left + long), min(height, top + long)))


def picture_transform(image_size: int, resize: int, augment: Augment | None) -> v2.Compose:
    """What makes a picture (C, S, S) uint8: at random as `augment` says, or as evaluation sees it (None)."""
    from torchvision.transforms import v2  # seconds, which nobody waits for who only counts pictures

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
    return v2.Compose([*steps, v2.PILToTensor()])
