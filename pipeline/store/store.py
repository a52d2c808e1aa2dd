"""Where results live and what they are called: ids, directories, finished work, records."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from longtail.pipeline.config.components import registry
from longtail.pipeline.config.setting_names import data_settings, settings_named
from longtail.pipeline.errors import Damaged, LongtailError
from longtail.pipeline.files.checked_json import read_json, verified, with_checksum
from longtail.pipeline.files.data_hashes import DataHashes
from longtail.pipeline.files.publish import canonical_json, publish_json, sha256_of
from longtail.stages.wording import listed

log = logging.getLogger("longtail")


class Store:
    """The output root (``checkpoints/``) with its representations, features and classifiers.

    `read_only` keeps it from remembering the hashes of data files, all it would write by itself. With
    `one_command` data are looked at once: what a command begins with is what its results are named after.
    """

    def __init__(self, root: str | Path, *, read_only: bool = False, one_command: bool = False):
        self.root, self.one_command = Path(root), one_command
        self._data_hashes = DataHashes(self.root / "fingerprints.json", read_only=read_only)
        self._contents: dict[str, str] = {}

    # -- content --------------------------------------------------------------------------------------

    def data_content(self, name: str, params: Mapping[str, Any]) -> str:
        """SHA-256 of what a data set's files hold."""
        asked = canonical_json({"name": name, **params})
        if asked not in self._contents or not self.one_command:
            with settings_named(data_settings(name)):
                sources = registry("datasets").sources(name, dict(params))
            self._contents[asked] = self._data_hashes.of(sources)
        return self._contents[asked]

    def file_hash(self, path: Path) -> str:
        """SHA-256 of one file's content, remembered while the file stays as it is."""
        return self._data_hashes.of([path])

    # -- directories ----------------------------------------------------------------------------------

    def folder(self, kind: str, name: str) -> Path:
        """Directory of one result; `kind` is representations, features or classifiers."""
        return self.root / kind / name

    def done(self, kind: str, name: str) -> dict[str, Any] | None:
        """What ``DONE`` says of a finished result, None while there is none. A damaged one counts as none."""
        path = self.folder(kind, name) / "DONE"
        try:
            said = read_json(path)
            return verified(said, path)
        except (FileNotFoundError, NotADirectoryError):  # the latter: a stray file among the results
            return None
        except Damaged as error:
            log.warning("%s; it is not used", error)
            return None

    def manifest(self, key: str) -> dict[str, Any] | None:
        """What ``manifest.json`` says of finished features; None when there are none or it is damaged."""
        path = self.folder("features", key) / "manifest.json"
        try:
            said = verified(read_json(path), path)
            return said if said["key"] == key else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (Damaged, KeyError) as error:
            log.warning("%s; it is not used", error)
            return None

    def finish(self, kind: str, name: str, facts: dict[str, Any], files: list[str]) -> None:
        """Publish ``DONE``: `facts`, the SHA-256 of each of `files`, and that of all this."""
        folder = self.folder(kind, name)
        digests = {f: sha256_of(folder / f) for f in files}
        while True:
            publish_json(folder / "DONE", with_checksum({**facts, "files": digests}))
            found = {f: sha256_of(folder / f) for f in files}
            if found == digests:
                return
            digests = found  # a process at the same work has published a file in between

    def discard(self, kind: str, name: str) -> None:
        """Remove a result, what declares it finished first: stopped halfway, it counts as unfinished."""
        folder = self.folder(kind, name)
        if folder.exists():
            for last in ("DONE", "manifest.json"):
                (folder / last).unlink(missing_ok=True)
            shutil.rmtree(folder)

    def resolve(self, kind: str, prefix: str) -> str | None:
        """The one id under `kind` that starts with `prefix`; None for none, LongtailError for several."""
        if not prefix or not all(c in "0123456789abcdef" for c in prefix):
            return None
        found = sorted(
            p.name for p in self.root.glob(f"{kind}/{prefix}*") if p.is_dir() and "." not in p.name
        )
        if len(found) > 1:
            raise LongtailError(f"{prefix!r} begins {len(found)} ids under {kind}: {listed(found)}")
        return found[0] if found else None

    # -- records --------------------------------------------------------------------------------------

    def result(self, classifier_id: str) -> dict[str, Any] | None:
        """The verified ``result.json`` of a finished classifier, None when it has to be (re)made."""
        done = self.done("classifiers", classifier_id)
        if done is None:
            return None
        path = self.folder("classifiers", classifier_id) / "result.json"
        try:
            if sha256_of(path) != done["files"]["result.json"]:
                raise Damaged(f"{path}: its SHA-256 is not the one recorded")
            return read_json(path)
        except (FileNotFoundError, KeyError, Damaged) as error:
            log.warning("%s; it is not used", error)
            return None

    def results(self) -> Iterator[dict[str, Any]]:
        """Every finished classifier's result, by id."""
        for folder in sorted(self.root.glob("classifiers/*")):
            found = self.result(folder.name)
            if found is not None:
                yield found
