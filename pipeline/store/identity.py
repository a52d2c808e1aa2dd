"""Ids of results: hashes of the settings and the content that a result depends on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtail.pipeline.config.components import Spec, registry
from longtail.pipeline.config.loading import Config, load_config
from longtail.pipeline.config.sections import Representation
from longtail.pipeline.config.weights_reference import is_published, weights_file
from longtail.pipeline.errors import ConfigError, LongtailError
from longtail.pipeline.files.publish import canonical_json
from longtail.pipeline.store.references import find_run, is_unknown
from longtail.stages.parameters import Problem, is_access

if TYPE_CHECKING:
    from longtail.pipeline.files.data_look import DataLook
    from longtail.pipeline.store.contents import FeatureIdentity
    from longtail.pipeline.store.store import Store

# Raised when what a stage computes under the same settings changes its meaning.
VERSIONS = {"representation": 2, "features": 2, "classifier": 2}
ID_LENGTH = 16  # hexadecimal digits
BY = "identity"  # the data setting that says whether pictures are known by content or by their sizes


def make_id(stage: str, settings: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of `settings` and the stage's version, shortened."""
    text = canonical_json({"stage": stage, "version": VERSIONS[stage], **settings})
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def data_identity(store: Store, config: Config) -> dict[str, Any]:
    """The data settings that differ from their defaults, without paths, and the content's hash.

    Where an earlier version has trained this configuration on the same pictures, its identity of them: the
    hash of their names and sizes.
    """
    identity, earlier = _identities(store, config)
    if earlier is None or config.representation is None:
        return identity
    run_id, earlier_id = (_representation_id(store, config, data) for data in (identity, earlier))
    if store.done("representations", run_id) is None and store.is_adopted(earlier_id, _look(store, config)):
        return earlier
    return identity


def is_of_same_data(store: Store, config: Config, run_id: str) -> bool:
    """Whether a finished representation was trained on a configuration's data, split in the same way."""
    trained_on = store.done("representations", run_id)["data"]
    identity, earlier = _identities(store, config)
    if trained_on == earlier != identity:
        return store.is_adopted(run_id, _look(store, config))
    return trained_on == identity


def _identities(store: Store, config: Config) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The identity of the data, and the one that earlier versions gave them if that was another."""
    spec = config.data
    known = registry("datasets").describe(spec.name).parameters
    settings = {k: v for k, v in spec.minimal().items() if k == "name" or not is_access(known[k].rule)}
    look = _look(store, config)
    if look.by_sizes is None:
        return {**settings, "content": look.content}, None
    earlier = {**{k: v for k, v in settings.items() if k != BY}, "content": look.by_sizes}
    return {**settings, "content": look.content}, earlier


def _look(store: Store, config: Config) -> DataLook:
    return store.data_look(config.data.name, config.data.params)


def representation_id(store: Store, config: Config, data: dict[str, Any] | None = None) -> str:
    """Id of stage one; `data` is the identity of the data where these are not to be looked at."""
    return _representation_id(store, config, data_identity(store, config) if data is None else data)


def _representation_id(store: Store, config: Config, data: dict[str, Any]) -> str:
    settings = {
        "seed": config.seed,
        "data": data,
        "representation": {**config.representation.minimal(), **start_identity(store, config)},
    }
    return make_id("representation", settings)


def feature_key(store: Store, config: Config, tensors: str | None, data: dict[str, Any] | None = None) -> str:
    """Key of a checkpoint's features, by its tensors' hash (None: the data are features)."""
    return make_id("features", feature_identity(store, config, tensors, data))


def feature_identity(
    store: Store, config: Config, tensors: str | None, data: dict[str, Any] | None = None
) -> FeatureIdentity:
    """What a feature key is the hash of, repeated in the manifest; `data` as in :func:`representation_id`."""
    identity: FeatureIdentity = {
        "tensors": tensors,
        "data": data_identity(store, config) if data is None else data,
        "transform": "evaluation" if tensors else "none",
        "views": config.features.views,
        "dtype": config.features.dtype,
    }
    if config.meta_per_class:
        identity["meta_per_class"] = config.meta_per_class  # samples that the training part lacks
    if config.features.views:
        identity |= {"augment": config.representation.augment.minimal(), "seed": config.seed}
    return identity


def classifier_id(config: Config, key: str, spec: Spec) -> str:
    """Id of one classifier of a configuration on the features under `key`."""
    settings = {"features": key, "classifier": spec.minimal(), "seed": config.seed}
    if config.evaluation.protocol != "validation":
        settings["protocol"] = config.evaluation.protocol
    return make_id("classifier", settings)


# -- what training starts from ----------------------------------------------------------------------------


def named_representation(store: Store, reference: str) -> str | None:
    """The representation id that a directory, an id prefix or a config names; None if it names nothing."""
    run_id = find_run(store, reference)
    if run_id is not None:
        return run_id
    config = _config(reference)
    return None if config is None or config.representation is None else representation_id(store, config)


def _config(reference: str) -> Config | None:
    try:
        return load_config(reference)
    except ConfigError as error:
        if is_unknown(error):
            return None
        raise


def start_identity(store: Store, config: Config) -> dict[str, Any]:
    """What a representation's id holds instead of the paths and names training starts from."""
    settings = config.representation
    identity: dict[str, Any] = {}
    if settings.weights is not None:
        identity["weights"] = settings.weights
        if not is_published(settings.weights):
            identity["weights"] = store.file_hash(weights_file(settings.weights))
    if settings.init is not None:
        run_id = earlier_run(store, settings)
        done = store.done("representations", run_id)
        identity["init"] = {"epochs": done["epochs"], "tensors": done["last"]["tensors"]}
    return identity


def earlier_run(store: Store, settings: Representation) -> str:
    """The finished representation that ``representation.init`` names; LongtailError when there is none."""
    _refuse_cycles(settings.init)
    run_id = named_representation(store, settings.init)
    done = None if run_id is None else store.done("representations", run_id)
    if done is None:
        raise LongtailError(
            f"representation.init: {settings.init!r} is not a finished run under {store.root}; "
            "name a directory, the beginning of an id, or a config that `longtail represent` has finished"
        )
    if done["epochs"] >= settings.epochs:
        rule = f"must exceed the {done['epochs']} that {settings.init!r} has, got {settings.epochs}"
        raise ConfigError([Problem("representation.epochs", rule)])
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
