"""Where results live and what they are called: ids, directories, finished work, records."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.errors import Damaged, LongtailError
from pipeline.fingerprint import Fingerprints
from pipeline.naming import start_identity
from pipeline.publish import canonical_json, publish_json, sha256_of
from stages.wording import listed

log = logging.getLogger("longtail")

# Raised when what a stage computes under the same settings changes its meaning.
VERSIONS = {"representation": 2, "features": 2, "classifier": 2}
ID_LENGTH = 16  # hexadecimal digits


def make_id(stage: str, settings: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of `settings` and the stage's version, shortened."""
    text = canonical_json({"stage": stage, "version": VERSIONS[stage], **settings})
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


class Store:
    """The output root (``checkpoints/``) with its representations, features and classifiers.

    `read_only` keeps it from remembering the hashes of data files, all it would write by itself. With
    `one_command` data are looked at once: what a command begins with is what its results are named after.
    """

    def __init__(self, root: str | Path, *, read_only: bool = False, one_command: bool = False):
        self.root, self.one_command = Path(root), one_command
        self._fingerprints = Fingerprints(self.root / "fingerprints.json", read_only=read_only)
        self._contents: dict[str, str] = {}

    # -- identity -------------------------------------------------------------------------------------

    def data_identity(self, config: Config) -> dict[str, Any]:
        """The data settings that differ from their defaults, without paths, and the content's hashes."""
        from pipeline.components import registry
        from stages.parameters import is_access

        spec = config.data
        asked = canonical_json({"name": spec.name, **spec.params})
        if asked not in self._contents or not self.one_command:
            sources = registry("datasets").sources(spec.name, dict(spec.params))
            self._contents[asked] = self._fingerprints.of(sources)
        known = registry("datasets").describe(spec.name).parameters
        settings = {k: v for k, v in spec.minimal().items() if k == "name" or not is_access(known[k].rule)}
        return {**settings, "content": self._contents[asked]}

    def fingerprint(self, path: Path) -> str:
        """SHA-256 of one file's content, remembered while the file stays as it is."""
        return self._fingerprints.of([path])

    def representation_id(self, config: Config) -> str:
        """Id of stage one."""
        settings = {
            "seed": config.seed,
            "data": self.data_identity(config),
            "representation": {**config.representation.minimal(), **start_identity(self, config)},
        }
        return make_id("representation", settings)

    def feature_key(self, config: Config, tensors: str | None) -> str:
        """Key of a checkpoint's features, by its tensors' fingerprint (None: the data are features)."""
        return make_id("features", self.feature_identity(config, tensors))

    def feature_identity(self, config: Config, tensors: str | None) -> dict[str, Any]:
        """What a feature key is the hash of, repeated in the manifest."""
        found = {
            "tensors": tensors,
            "data": self.data_identity(config),
            "transform": "evaluation" if tensors else "none",
            "views": config.features.views,
            "dtype": config.features.dtype,
        }
        if config.meta_per_class:
            found["meta_per_class"] = config.meta_per_class  # samples that the training part lacks
        if config.features.views:
            found |= {"augment": config.representation.augment.minimal(), "seed": config.seed}
        return found

    def classifier_id(
        self, feature_key: str, spec: dict[str, Any], seed: int, *, protocol: str = "validation"
    ) -> str:
        """Id of one fitted classifier; `spec` is its minimal form, `protocol` what choices are made on."""
        settings = {"features": feature_key, "classifier": spec, "seed": seed}
        if protocol != "validation":
            settings["protocol"] = protocol
        return make_id("classifier", settings)

    # -- directories ----------------------------------------------------------------------------------

    def folder(self, kind: str, name: str) -> Path:
        """Directory of one result; `kind` is representations, features or classifiers."""
        return self.root / kind / name

    def done(self, kind: str, name: str) -> dict[str, Any] | None:
        """What ``DONE`` says of a finished result, None while there is none. A damaged one counts as none."""
        path = self.folder(kind, name) / "DONE"
        try:
            said = read_json(path)
            return unchecked(said, path)
        except (FileNotFoundError, NotADirectoryError):  # the latter: a stray file among the results
            return None
        except Damaged as error:
            log.warning("%s; it is not used", error)
            return None

    def manifest(self, key: str) -> dict[str, Any] | None:
        """What ``manifest.json`` says of finished features; None when there are none or it is damaged."""
        path = self.folder("features", key) / "manifest.json"
        try:
            said = unchecked(read_json(path), path)
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
            publish_json(folder / "DONE", checked({**facts, "files": digests}))
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


def _check(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def checked(said: dict[str, Any]) -> dict[str, Any]:
    """A record with the SHA-256 of what it says."""
    return {**said, "check": _check(said)}


def unchecked(said: Any, path: Path) -> dict[str, Any]:
    """Undo :func:`checked`; Damaged for a record that is not what was written."""
    if not isinstance(said, dict) or said.pop("check", None) != _check(said):
        raise Damaged(f"{path}: its SHA-256 is not the one recorded")
    return said


def read_json(path: Path) -> Any:
    """A JSON file's value; Damaged when it is none."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise Damaged(f"{path}: is not JSON") from None
