"""The output root: directories of results, and what the files in them that declare work finished hold."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from longtail.pipeline.config.components import registry
from longtail.pipeline.config.setting_names import data_settings, settings_named
from longtail.pipeline.errors import Damaged, LongtailError
from longtail.pipeline.files.data_hashes import DataHashes
from longtail.pipeline.files.data_look import DataLook
from longtail.pipeline.files.publish import canonical_json, publish_bytes, sha256_of
from longtail.pipeline.store.contents import ClassifierDone, Manifest, RepresentationDone
from longtail.pipeline.store.data.adoption import is_adopted
from longtail.pipeline.store.records.done import (
    COMING,
    DONE,
    MANIFEST,
    read_done,
    read_manifest,
    refuse_obstacle,
    write_done,
)
from longtail.pipeline.store.records.result_index import ReadResult, ResultIndex, folder_names, read_result
from longtail.pipeline.store.result import Result
from longtail.stages.wording import listed

T = TypeVar("T")

log = logging.getLogger("longtail")


class Store:
    """The output root (``checkpoints/``) with its representations, features and classifiers.

    `read_only` keeps it from remembering hashes of data files and verified results, which is all it would
    write by itself. With `one_command` data are looked at once: what a command begins with is what its
    results are named after. `verify` hashes data files again, whatever is remembered of them.
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
        self._index = ResultIndex(self.folder("classifiers", ""), self._read_result, read_only=read_only)

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
        if not self.folder("representations", run_id).is_dir():  # perhaps discarded since
            return False
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
        """What ``DONE`` of a finished result holds; None if it is not finished or, warned of, damaged."""
        return _unless_damaged(lambda: read_done(self.folder(kind, name))[0])

    def manifest(self, key: str) -> Manifest | None:
        """What ``manifest.json`` of finished features holds; None if missing or, with a warning, damaged."""
        return _unless_damaged(lambda: read_manifest(self.folder("features", key)))

    def refuse_obstacle(self, kind: str, name: str) -> None:
        """Before work on a result: LongtailError naming what lies where it would be declared finished."""
        refuse_obstacle(self.folder(kind, name))

    def finish(self, kind: str, name: str, facts: dict[str, Any], files: list[str]) -> None:
        """Publish ``DONE``: `facts`, the SHA-256 of each of `files`, and that of all this."""
        folder = self.folder(kind, name)
        digests = {f: sha256_of(folder / f) for f in files}
        while True:
            write_done(folder, facts, digests)
            now = {f: sha256_of(folder / f) for f in files}
            if now == digests:
                return
            digests = now  # a process at the same work has published a file in between

    def announce(self, kind: str, name: str, contents: Mapping[str, bytes]) -> None:
        """Let ``DONE`` of a result, if it is finished, answer for what will replace some of its files, too.

        One that is killed between this and :meth:`finish` leaves it finished.
        """
        try:
            done = read_done(self.folder(kind, name))[0]
        except (FileNotFoundError, Damaged):
            return
        files = done.pop("files")
        coming = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
        write_done(self.folder(kind, name), {**done, COMING: coming}, files)

    def replace(self, kind: str, name: str, file: str, content: bytes) -> None:
        """Publish a file of a finished result anew, with its SHA-256 in ``DONE``; others stay as listed."""
        folder = self.folder(kind, name)
        digest = publish_bytes(folder / file, content)
        done = read_done(folder)[0]
        files = done.pop("files")
        if files.get(file) != digest:
            write_done(folder, done, {**files, file: digest})

    def discard(self, kind: str, name: str) -> None:
        """Remove a result, what declares it finished first: stopped halfway, it counts as unfinished."""
        folder = self.folder(kind, name)
        if folder.exists():
            for last in (DONE, MANIFEST):
                with suppress(FileNotFoundError, IsADirectoryError):
                    (folder / last).unlink()
            shutil.rmtree(folder)

    def resolve(self, kind: str, prefix: str) -> str | None:
        """The one id under `kind` that starts with `prefix`; None without one, LongtailError for several."""
        if not prefix or not all(c in "0123456789abcdef" for c in prefix):
            return None
        ids = sorted(name for name in folder_names(self.root / kind, prefix) if "." not in name)
        if len(ids) > 1:
            raise LongtailError(f"{prefix!r} begins {len(ids)} ids under {kind}: {listed(ids)}")
        return ids[0] if ids else None

    # -- results --------------------------------------------------------------------------------------

    def result(self, classifier_id: str) -> Result | None:
        """The verified ``result.json`` of a finished classifier, None when it has to be (re)made."""
        read = self._read_result(classifier_id)
        return None if read is None else Result.from_json(read.record)

    def results(self, *, representation: str | None = None, features: str | None = None) -> Iterator[Result]:
        """Every finished classifier's result, by id, or those on a representation or on features alone."""
        return map(Result.from_json, self._index.records(representation=representation, features=features))

    def _read_result(self, classifier_id: str) -> ReadResult | None:
        return _unless_damaged(lambda: read_result(self.folder("classifiers", classifier_id)))


def _unless_damaged(read: Callable[[], T]) -> T | None:
    """What `read` returns; None if there is no such file or, with a warning, if it is damaged."""
    try:
        return read()
    except FileNotFoundError:
        return None
    except Damaged as error:
        log.warning("%s; it is not used", error)
        return None
