"""Downloading a published data set, where a reader's ``download`` allows it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from longtail.stages.parameters import wrong

ASIDE = ".download-"  # prefix of the folder that holds files until all are complete
DOWNLOADED_TO = "data"  # where data sets lie, and are downloaded to, without a root


def download_files(layout: str, top: Path, folder: str, names: Sequence[str]) -> None:
    """Put the files `names` of torchvision's data set `layout` into ``top/folder``, each whole or not at all.

    Torchvision knows the address and checks the published MD5. Files that are there already stay as they are.
    Raises ValueError naming the data set and what went wrong.
    """
    import os
    import tempfile
    from http.client import HTTPException

    try:
        from torchvision import datasets

        target = top / folder
        top.mkdir(parents=True, exist_ok=True)
        # Downloaded aside: no reader, nor a second process that downloads the same, ever sees half a file.
        with tempfile.TemporaryDirectory(prefix=ASIDE, dir=top) as aside:
            getattr(datasets, layout)(aside, download=True)
            target.mkdir(parents=True, exist_ok=True)
            for name in names:
                if not (target / name).exists():
                    os.replace(Path(aside) / folder / name, target / name)
    except (OSError, RuntimeError, HTTPException, ImportError) as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise wrong(
            "download",
            f"{layout} could not be fetched into {top} ({cause}); "
            "fetch it elsewhere and set `root=FOLDER` to where it lies",
        ) from None
