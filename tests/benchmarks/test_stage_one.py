"""Stage one and extraction against what they are made of and against the usual way to write them."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from longtail.pipeline.training.trainee import Trainee
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.data import Request
from longtail.stages.data.pictures.augment import Augment
from longtail.stages.data.pictures.on_disk import ImageFiles
from longtail.stages.data.pictures.settings import PictureSettings
from longtail.stages.features import BATCH, extract_features
from longtail.stages.representation import train_representation
from tests.benchmarks.measuring import best, peak, report, rivals
from tests.benchmarks.trainees import trainee_for

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
NETWORKS = {"resnet32": 12, "small_cnn": 60}  # batches of 128 an epoch
every_network = pytest.mark.parametrize("backbone", NETWORKS)


def stage_one(trainee: Trainee, *, compiled: bool = False) -> None:
    for _ in train_representation(
        trainee.network, trainee.batches, trainee.loss, trainee.optimizer,
        schedule=lambda *_: 1.0, epochs=1, compile=compiled,
    ):  # fmt: skip
        pass


def bare_steps(trainee: Trainee, batch, count: int) -> None:
    trainee.network.train()
    for _ in range(count):
        step(trainee.network, trainee.optimizer, batch.inputs, batch.labels)


def step(network, optimizer, inputs, labels) -> None:
    value = torch.nn.functional.cross_entropy(network(inputs), labels)
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    optimizer.step()
    value.item()


class Pictures(Dataset):
    """Images as PIL pictures through a chain of transforms, one at a time."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.images, self.labels = images, labels
        mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
        to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
        self.transform = v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip(), *to_tensor])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int):
        return self.transform(Image.fromarray(self.images[row])), int(self.labels[row])


def usual_loop(backbone: str, batches: int):
    """An epoch of the loop one finds everywhere: contiguous images, DataLoader workers, PIL transforms."""
    trainee = trainee_for(backbone, batches)
    network = trainee.network.to(memory_format=torch.contiguous_format).train()
    part = trainee.batches.part
    data = Pictures(part.images.numpy(), part.labels)
    loader = DataLoader(data, batch_size=128, shuffle=True, num_workers=2, persistent_workers=True)

    def epoch() -> None:
        for inputs, labels in loader:
            step(network, trainee.optimizer, inputs, labels)

    return epoch


@every_network
def test_stage_one_over_the_bare_step(backbone):
    batches = NETWORKS[backbone]
    trainee = trainee_for(backbone, batches)
    batch = next(trainee.batches.epoch(0))
    ratio = rivals(partial(stage_one, trainee), partial(bare_steps, trainee, batch, batches))
    report(f"stage one over the bare step, {backbone}", ratio)
    assert ratio > 0.75


@every_network
def test_stage_one_over_the_usual_loop(backbone):
    trainee = trainee_for(backbone, NETWORKS[backbone])
    ratio = rivals(partial(stage_one, trainee), usual_loop(backbone, NETWORKS[backbone]), rounds=3)
    report(f"stage one over the usual loop, {backbone}", ratio)
    assert ratio > 1


def test_compiled_stage_one_over_the_usual_loop():
    trainee = trainee_for("resnet32", 12)
    ratio = rivals(partial(stage_one, trainee, compiled=True), usual_loop("resnet32", 12), rounds=3)
    report("compiled stage one over the usual loop, resnet32", ratio)
    assert ratio > 1


def test_extraction_over_the_bare_forward():
    trainee = trainee_for("resnet20", 16)
    part, backbone = trainee.batches.part, trainee.network.backbone
    batch = part.batch(range(BATCH))

    def bare() -> None:
        backbone.eval()
        with torch.inference_mode():
            for _ in range(4):
                backbone(batch)

    ratio = rivals(lambda: extract_features(backbone, part), bare)
    report("extraction over the bare forward, resnet20", ratio)
    assert ratio > 0.8


def test_crt_on_cached_features_over_crt_that_forwards_each_epoch():
    trainee = trainee_for("resnet32", 8)
    part, backbone, epochs = trainee.batches.part, trainee.network.backbone, 3
    cached = extract_features(backbone, part)

    def fit(X, epochs: int) -> None:
        CLASSIFIERS.create("crt", solver="sgd", epochs=epochs, random_state=0).fit(X, part.labels)

    def forwarding() -> None:
        for _ in range(epochs):
            fit(extract_features(backbone, part).X, 1)

    ratio = rivals(lambda: fit(cached.X, epochs), forwarding, rounds=2)
    report("cRT that forwards the backbone each epoch over cRT on cached features, resnet32", ratio)
    assert ratio > 50


def write_photographs(folder: Path, count: int = 96) -> ImageFiles:
    """Pictures of ImageNet's usual size, smooth and grainy as photographs are, each listed four times."""
    rng = np.random.default_rng(0)
    for n in range(count):
        rough = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
        smooth = np.asarray(rough.resize((500, 375), Image.Resampling.BICUBIC), np.int16)
        grain = rng.normal(0, 12, smooth.shape).astype(np.int16)
        pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.jpg", quality=90)
    return ImageFiles(
        folder, [f"{n}.jpg" for n in range(count)] * 4, [0] * 4 * count, PictureSettings(workers=1)
    )


@pytest.mark.parametrize(
    ("what", "augment"),
    [
        ("training batches", Augment(resized_crop=0.08, flip=True)),
        ("training batches with jitter", Augment(resized_crop=0.08, flip=True, jitter=0.4)),
        ("evaluation batches", None),
    ],
)
def test_large_pictures_over_plain_decoding(what, augment, tmp_path):
    part = write_photographs(tmp_path)
    requests = [Request(np.arange(n, n + 16), (0, "bench", n)) for n in range(0, len(part), 16)]

    def plain() -> None:
        for n in range(len(part)):
            with Image.open(part.path(n)) as image:
                image.convert("RGB")

    def path() -> None:
        for _ in part.stream(requests, augment):
            pass

    ratio = rivals(path, plain, rounds=3)
    report(f"large pictures over plain decoding, one worker, {what}", ratio)
    report("  plain decoding", len(part) / best(plain, 2), " pictures/s")
    assert ratio > 0.1


# -- memory -------------------------------------------------------------------------------------------------


def ours(backbone: str, *, prepare_only: bool = False) -> None:
    trainee = trainee_for(backbone, 4)
    if not prepare_only:
        stage_one(trainee)


def usual(backbone: str, *, prepare_only: bool = False) -> None:
    epoch = usual_loop(backbone, 4)
    if not prepare_only:
        epoch()


def extraction(backbone: str, *, prepare_only: bool = False) -> None:
    trainee = trainee_for(backbone, 8)
    if not prepare_only:
        extract_features(trainee.network.backbone, trainee.batches.part)


def large_pictures(*, prepare_only: bool = False) -> None:
    with tempfile.TemporaryDirectory() as folder:
        part = write_photographs(Path(folder), 16 if prepare_only else 128)
        requests = [Request(np.arange(n, n + 64), (0, "bench", n)) for n in range(0, len(part), 64)]
        for _ in [] if prepare_only else part.stream(requests, Augment(resized_crop=0.08)):
            pass


@pytest.mark.parametrize(
    ("what", "work", "args"),
    [
        ("stage one, resnet32", ours, ("resnet32",)),
        ("the usual loop, resnet32", usual, ("resnet32",)),
        ("stage one, small_cnn", ours, ("small_cnn",)),
        ("the usual loop, small_cnn", usual, ("small_cnn",)),
        ("extraction, resnet32", extraction, ("resnet32",)),
        ("large pictures, batches of 64, one worker", large_pictures, ()),
    ],
)
def test_peak_memory(what, work, args):
    megabytes = peak(work, *args)
    report(f"peak memory of {what}", megabytes, " MB")
    assert 0 < megabytes < 4096
