"""The output root: directories of results, and what the files in them that declare work finished hold."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, overload

from longtail.pipeline.config.components import registry
from longtail.pipeline.config.setting_names import data_settings, settings_named
from longtail.pipeline.errors import Damaged, LongtailError
from longtail.pipeline.files.checked_json import read_json, verified, with_checksum
from longtail.pipeline.files.data_hashes import DataHashes
from longtail.pipeline.files.data_look import DataLook
from longtail.pipeline.files.publish import canonical_json, publish_json, sha256_of
from longtail.pipeline.store.adoption import is_adopted
from longtail.pipeline.store.contents import ClassifierDone, EpochRow, Manifest, RepresentationDone
from longtail.pipeline.store.result import Result
from longtail.stages.wording import listed

log = logging.getLogger("longtail")


class Store:
    """The output root (``checkpoints/``) with its representations, features and classifiers.

    `read_only` keeps it from remembering the hashes of data files, all it would write by itself. With
    `one_command` data are looked at once: what a command begins with is what its results are named after.
    `verify` hashes data files again, whatever is remembered of them.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        read_only: bool = False,
        one_command: bool = False,
        verify: bool = False,
    ):
        self.root, self.read_only, self.one_command, self.verify = Path(root), read_only, one_command, verify
        self._data_hashes = DataHashes(self.root / "fingerprints.json", read_only=read_only, verify=verify)
        self._looks: dict[str, DataLook] = {}
        self._adopted: dict[tuple[str, str], bool] = {}

    # -- content --------------------------------------------------------------------------------------

    def data_look(self, name: str, params: Mapping[str, Any]) -> DataLook:
        """What a data set's files hold."""
        asked = canonical_json({"name": name, **params})
        if asked not in self._looks or not self.one_command:
            with settings_named(data_settings(name)):
                sources = registry("datasets").sources(name, dict(params))
            self._looks[asked] = self._data_hashes.look(sources)
        return self._looks[asked]

    def is_adopted(self, run_id: str, look: DataLook) -> bool:
        """Whether a representation of an earlier version belongs to these data; asked once for each look."""
        asked = run_id, look.content
        if asked not in self._adopted or not self.one_command:
            self._adopted[asked] = is_adopted(self, run_id, look)
        return self._adopted[asked]

    def file_hash(self, path: Path) -> str:
        """SHA-256 of one file's content, remembered while the file stays as it is."""
        return self._data_hashes.of([path])  # of a list of one: ids of earlier versions hold that hash

    # -- directories ----------------------------------------------------------------------------------

    def folder(self, kind: str, name: str) -> Path:
        """Directory of one result; `kind` is representations, features or classifiers."""
        return self.root / kind / name

    @overload
    def done(self, kind: Literal["representations"], name: str) -> RepresentationDone | None: ...

    @overload
    def done(self, kind: Literal["classifiers"], name: str) -> ClassifierDone | None: ...

    def done(self, kind: str, name: str):
        """What ``DONE`` of a finished result holds; None if it is not finished, or the file is damaged."""
        return self._checked_json(self.folder(kind, name) / "DONE")

    def manifest(self, key: str) -> Manifest | None:
        """What ``manifest.json`` of finished features holds; None if it is missing or damaged."""
        manifest = self._checked_json(self.folder("features", key) / "manifest.json")
        return manifest if manifest is not None and manifest.get("key") == key else None

    def _checked_json(self, path: Path):
        """A checked JSON record; None if it is not there, or, with a warning, if it is damaged."""
        try:
            return verified(read_json(path), path)
        except (FileNotFoundError, NotADirectoryError):  # the latter: a stray file among the results
            return None
        except Damaged as error:
            log.warning("%s; it is not used", error)
            return None

    def history(self, representation: str) -> list[EpochRow]:
        """What training recorded of each epoch; [] before the first. Damaged for a file that is not JSON."""
        path = self.folder("representations", representation) / "history.jsonl"
        try:
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except FileNotFoundError:
            return []
        except (ValueError, RecursionError):
            raise Damaged(f"{path}: is not JSON") from None

    def finish(self, kind: str, name: str, facts: dict[str, Any], files: list[str]) -> None:
        """Publish ``DONE``: `facts`, the SHA-256 of each of `files`, and that of all this."""
        folder = self.folder(kind, name)
        digests = {f: sha256_of(folder / f) for f in files}
        while True:
            publish_json(folder / "DONE", with_checksum({**facts, "files": digests}))
            now = {f: sha256_of(folder / f) for f in files}
            if now == digests:
                return
            digests = now  # a process at the same work has published a file in between

    def discard(self, kind: str, name: str) -> None:
        """Remove a result, what declares it finished first: stopped halfway, it counts as unfinished."""
        folder = self.folder(kind, name)
        if folder.exists():
            for last in ("DONE", "manifest.json"):
                (folder / last).unlink(missing_ok=True)
            shutil.rmtree(folder)

    def resolve(self, kind: str, prefix: str) -> str | None:
        """The one id under `kind` that starts with `prefix`; None without one, LongtailError for several."""
        if not prefix or not all(c in "0123456789abcdef" for c in prefix):
            return None
        ids = sorted(p.name for p in self.root.glob(f"{kind}/{prefix}*") if p.is_dir() and "." not in p.name)
        if len(ids) > 1:
            raise LongtailError(f"{prefix!r} begins {len(ids)} ids under {kind}: {listed(ids)}")
        return ids[0] if ids else None

    # -- results --------------------------------------------------------------------------------------

    def result(self, classifier_id: str) -> Result | None:
        """The verified ``result.json`` of a finished classifier, None when it has to be (re)made."""
        done = self.done("classifiers", classifier_id)
        if done is None:
            return None
        path = self.folder("classifiers", classifier_id) / "result.json"
        try:
            if sha256_of(path) != done["files"]["result.json"]:
                raise Damaged(f"{path}: its SHA-256 is not the one recorded")
            record = read_json(path)
        except (FileNotFoundError, KeyError, Damaged) as error:
            log.warning("%s; it is not used", error)
            return None
        try:
            return Result.from_json(record)
        except ValueError as error:
            log.warning("%s: %s; it is not used", path, error)
            return None

    def results(self) -> Iterator[Result]:
        """Every finished classifier's result, by id."""
        for folder in sorted(self.root.glob("classifiers/*")):
            result = self.result(folder.name)
            if result is not None:
                yield result
