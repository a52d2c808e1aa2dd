"""Commands in processes of their own, forked from a server that has every library imported."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults import crashing

WARM = [
    "tests.faults.processes", "torch._dynamo", "torchvision", "faiss", "sklearn.datasets",
    "sklearn.linear_model", "PIL.Image", "longtail.stages.representation", "longtail.stages.classifiers",
    "longtail.pipeline.training.train", "longtail.pipeline.work.execute",
    "longtail.pipeline.work.feature_extraction", "longtail.pipeline.cli",
    "longtail.pipeline.verbs.running", "longtail.pipeline.tables.text", "longtail.stages.backbones.small",
    "longtail.stages.classifiers.adjusted.joint", "longtail.stages.classifiers.neighbours.ncm",
    "longtail.stages.classifiers.retrained.crt", "longtail.stages.data.digits",
    "longtail.stages.data.pictures.in_memory", "longtail.stages.losses.cross_entropy",
    "longtail.stages.samplers.power", "longtail.stages.training.optimizers", "safetensors.numpy",
    "threadpoolctl", "tests.faults.frozen",
]  # fmt: skip
LIMIT = 120  # seconds any command may take


def context():
    """The fork server's; nothing in it has computed, so that a child starts with no thread."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(WARM)
    return found


@dataclass(frozen=True)
class Operation:
    """One file operation of a command: when it came, seconds after the start, and what it was about."""

    seconds: float
    name: str
    path: str


@dataclass(frozen=True)
class Outcome:
    """How a command ended; a `status` below 0 is the signal that killed it."""

    status: int
    out: str
    err: str
    operations: list[Operation]


class Running:
    """A ``longtail`` command under way."""

    def __init__(self, root: Path, arguments: list[str], fault: str = "", file_bytes: int | None = None):
        self.folder = Path(tempfile.mkdtemp(dir=root.parent, prefix=".process-"))
        command = ["--root", str(root), *map(str, arguments)]
        self.process = context().Process(target=_command, args=(command, fault, str(self.folder), file_bytes))
        self.began = time.monotonic()
        self.process.start()

    def operations(self) -> list[Operation]:
        """The file operations so far."""
        trace = self.folder / "trace"
        lines = trace.read_text(errors="replace").splitlines() if trace.exists() else []
        rows = [line.split("\t") for line in lines]
        return [Operation(float(at) - self.began, name, path) for _, at, name, path in rows]

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def wait(self, limit: float = LIMIT) -> Outcome:
        """The end, or what is left when it has to be killed after `limit` seconds: a status of None."""
        self.process.join(limit)
        status = self.process.exitcode
        if status is None:
            self.process.kill()
            self.process.join()
        said = [(self.folder / name).read_text() for name in ("out", "err") if (self.folder / name).exists()]
        out, err = said if len(said) == 2 else ("", "")
        outcome = Outcome(status, out, err, self.operations())
        shutil.rmtree(self.folder)
        return outcome


def run(root: Path, arguments: list[str], **options) -> Outcome:
    """A ``longtail`` command from beginning to end."""
    return Running(root, arguments, **options).wait()


def succeed(root: Path, arguments: list[str], **options) -> Outcome:
    """A command that has to succeed."""
    found = run(root, arguments, **options)
    assert found.status == 0, f"exit {found.status}: {found.err[-500:]}"
    return found


def assert_one_line_error(found: Outcome, *statuses: int) -> str:
    """The one ``error:`` line of a command that has to fail with one of `statuses` and no traceback."""
    lines = [line for line in found.err.splitlines() if line.startswith("error: ")]
    assert found.status in statuses, f"exit {found.status}: {found.err[-500:]}"
    assert "Traceback" not in found.err and len(lines) == 1, found.err[-500:]
    return lines[0]


def _command(arguments: list[str], fault: str, folder: str, file_bytes: int | None) -> None:
    multiprocessing.set_start_method(None, force=True)  # the platform's own, as in a process of a person's
    for name, stream in (("out", 1), ("err", 2)):
        os.dup2(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT, 0o644), stream)
    if file_bytes is not None:  # Python ignores SIGXFSZ: a write past this fails with EFBIG
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    os.environ["LONGTAIL_TEST_FAULT"] = fault
    os.environ["LONGTAIL_TEST_TRACE"] = os.path.join(folder, "trace")
    crashing.main(arguments)
