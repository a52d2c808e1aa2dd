"""What a person calls a run, and what that stands for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import Config, load_config
from pipeline.errors import ConfigError, LongtailError
from pipeline.sections import Representation
from stages.parameters import Problem

if TYPE_CHECKING:
    from pipeline.store import Store

KEYS = {"representations": "representation", "features": "features", "classifiers": "run"}  # of a result
PUBLISHERS = ("torchvision", "timm")  # of representation.weights: torchvision, torchvision:NAME, timm:TAG


def find_run(store: Store, reference: str) -> str | None:
    """The id of the representation a directory or id prefix names; None when `reference` is neither.

    LongtailError when a prefix fits several.
    """
    path = directory(store, reference)
    if path is not None:
        return path.name if path.parent.name == "representations" else None
    return store.resolve("representations", reference)


def find_result(store: Store, reference: str) -> tuple[str, str] | None:
    """(kind, id) of the representation, features or classifier that a directory or id prefix names.

    None when `reference` is neither; LongtailError when a prefix fits several.
    """
    path = directory(store, reference)
    kinds = KEYS if path is None else (path.parent.name,)
    name = reference if path is None else path.name
    found = [(kind, run_id) for kind in kinds if (run_id := store.resolve(kind, name)) is not None]
    if len(found) > 1:
        raise LongtailError(f"{reference!r} begins ids of {' and of '.join(kind for kind, _ in found)}")
    return found[0] if found else None


def named_representation(store: Store, reference: str) -> str | None:
    """The representation id that a directory, an id prefix or a config names; None when it names none."""
    found = find_run(store, reference)
    if found is not None:
        return found
    config = _config(reference)
    return None if config is None or config.representation is None else store.representation_id(config)


def _config(reference: str) -> Config | None:
    try:
        return load_config(reference)
    except ConfigError as error:
        if is_unknown(error):
            return None
        raise


def directory(store: Store, reference: str) -> Path | None:
    """The result's directory `reference` is, None when it is none; LongtailError for one of another root."""
    path = Path(reference).resolve()
    if not path.is_dir() or path.parent.name not in KEYS:
        return None
    root = path.parents[1]
    if root != store.root.resolve():
        raise LongtailError(f"{reference}: lies under another root than {store.root}; say --root {root}")
    return path


def is_unknown(error: ConfigError) -> bool:
    """True when a reference is no configuration at all."""
    return len(error.problems) == 1 and "no such configuration" in str(error)


# -- what training starts from ----------------------------------------------------------------------------


def start_identity(store: Store, config: Config) -> dict[str, Any]:
    """What a representation's id holds instead of the paths and names training starts from."""
    settings = config.representation
    found: dict[str, Any] = {}
    if settings.weights is not None:
        found["weights"] = settings.weights
        if not is_published(settings.weights):
            found["weights"] = store.fingerprint(weights_file(settings.weights))
    if settings.init is not None:
        run_id = earlier_run(store, settings)
        done = store.done("representations", run_id)
        found["init"] = {"epochs": done["epochs"], "tensors": done["last"]["tensors"]}
    return found


def earlier_run(store: Store, settings: Representation) -> str:
    """The finished representation that ``representation.init`` names; LongtailError when there is none."""
    _refuse_cycles(settings.init)
    run_id = named_representation(store, settings.init)
    done = None if run_id is None else store.done("representations", run_id)
    if done is None:
        raise LongtailError(
            f"representation.init: {settings.init!r} is no finished run under {store.root}; "
            "name a directory, the beginning of an id, or a config that `longtail represent` has finished"
        )
    if done["epochs"] >= settings.epochs:
        said = f"must exceed the {done['epochs']} that {settings.init!r} has, got {settings.epochs}"
        raise ConfigError([Problem("representation.epochs", said)])
    return run_id


def _refuse_cycles(reference: str) -> None:
    """LongtailError when following ``init`` from config to config comes back to one of them."""
    seen: list[str] = []
    while Path(reference).is_file():
        if reference in seen:
            raise LongtailError(f"representation.init: {' → '.join([*seen, reference])} leads back to itself")
        seen.append(reference)
        config = _config(reference)
        following = config and config.representation and config.representation.init
        if not following:
            return
        reference = following


def is_published(weights: str) -> bool:
    """True when ``representation.weights`` names weights to download, not a file."""
    return weights.partition(":")[0] in PUBLISHERS


def weights_file(weights: str) -> Path:
    """The file ``representation.weights`` names; LongtailError when it is not there."""
    path = Path(weights).expanduser()
    if not path.is_file():
        raise LongtailError(
            f"representation.weights: no such file, got {weights!r}; "
            f"a .safetensors or .pth file, or {' or '.join(map(repr, PUBLISHERS))} to download theirs"
        )
    return path
