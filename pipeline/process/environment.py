"""How a run computes: device, threads, precision, memory format, compilation."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from longtail.pipeline.config.sections import Representation, System
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.process.progress import duration

if TYPE_CHECKING:
    from longtail.pipeline.training.trainee import Trainee

log = logging.getLogger("longtail")

WORTH_COMPILING = 600.0  # estimated seconds of training
PROBED_STEPS = 3  # steps timed for the estimate
LONGEST_TRIAL = 0.05  # of the estimated seconds, for finding out whether compiling pays


@dataclass(frozen=True)
class Environment:
    """What ``system:`` resolved to; stored with a run and kept when it resumes."""

    device: str
    threads: int
    channels_last: bool
    precision: str
    compile: bool

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def resolve_device(wanted: str) -> str:
    """``auto`` as cuda when there is a GPU, else cpu. LongtailError for a device that is not there."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise LongtailError(f"system.device: {wanted!r} cannot be used here ({reason})") from None
    return wanted


def resolve(system: System) -> Environment:
    """Everything of `system` but the choice to compile, which needs the network (False until then)."""
    import torch

    device = resolve_device(system.device)
    on_gpu = device.startswith("cuda")
    bf16 = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    return Environment(
        device=device,
        threads=torch.get_num_threads() if system.threads == "auto" else system.threads,
        channels_last=system.channels_last != "off",
        precision=("bfloat16" if bf16 else "float32") if system.precision == "auto" else system.precision,
        compile=system.compile == "on",
    )


def keep_earlier(now: Environment, earlier: dict[str, Any]) -> Environment:
    """The environment a run began with, of which `earlier` is the JSON form, rather than the one of `now`.

    A warning names what differs, since it would change the run's bits. Where the earlier device is not there,
    the run goes on with `now`.
    """
    known = {key: earlier[key] for key in asdict(now) if key in earlier}
    kept = Environment(**{**asdict(now), **known})
    try:
        resolve_device(kept.device)
    except LongtailError:
        log.warning("began on %s, continues on %s: the last bits may differ", kept.device, now.device)
        return now
    changed = [f"{k} {v}" for k, v in asdict(kept).items() if v != asdict(now)[k]]
    if changed:
        log.warning("going on as the run began: %s", ", ".join(changed))
    return kept


def limit_threads(system: System) -> None:
    """Let torch and the BLAS libraries use as many threads as `system` names; auto leaves them alone."""
    if system.threads != "auto":
        import torch
        from threadpoolctl import threadpool_limits

        torch.set_num_threads(system.threads)
        threadpool_limits(system.threads)


def worth_compiling(trainee: Trainee, settings: Representation) -> bool:
    """True when compiling saves more time than it takes, by steps on a copy.

    Tried where there is a compiler and training would take over ten minutes, for a twentieth of that time at
    most. A step's kernels are for one size, so a last batch of another size is compiled for as well.
    """
    from longtail.stages.training.compiling import TakesTooLong, Trial, can_be_limited

    name, usual = ("CC", "gcc") if trainee.device.startswith("cuda") else ("CXX", "g++")
    if not shutil.which(os.environ.get(name, usual)) or not can_be_limited():
        return False
    trial = Trial(trainee.network, trainee.loss, trainee.precision == "bfloat16")
    with closing(trainee.batches.epoch(0)) as batches:
        pieces = [next(batch.pieces(settings.accumulation)) for batch in islice(batches, PROBED_STEPS)]
    eager = min(trial.eager(piece) / len(piece.labels) for piece in pieces)
    samples = settings.epochs * len(trainee.batches.sampler)
    training = eager * samples
    if training <= WORTH_COMPILING:
        return False
    limit = training * LONGEST_TRIAL
    log.info(
        "training would take about %s; compiling a copy of the network to see whether that is faster, for up "
        "to %s (system.compile=off does without)",
        duration(training),
        duration(limit),
    )
    try:
        first, step = trial.compiled(pieces[0], limit=limit)
    except TakesTooLong:
        log.info("compiling takes longer than that: training goes on uncompiled")
        return False
    except Exception as error:  # whatever compilers and their drivers raise
        log.info("the network cannot be compiled (%s): training goes on uncompiled", type(error).__name__)
        return False
    left = training * step / len(pieces[0].labels) / eager
    compiling = first * len(trainee.batches.piece_sizes(settings.accumulation))
    pays = left + compiling < training
    log.info(
        "compiled in %s, and training would take %s then: it goes on %s",
        duration(first),
        duration(left + compiling),
        "compiled" if pays else "uncompiled",
    )
    return pays
