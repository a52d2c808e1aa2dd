"""Continuing an earlier run, and what is checked before."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from longtail.pipeline.config.components import check_spec
from longtail.pipeline.config.imports import require_imports
from longtail.pipeline.config.loading import Config
from longtail.pipeline.config.sections import Representation
from longtail.pipeline.errors import Damaged, LongtailError
from longtail.pipeline.files.epoch_files import BEST_WEIGHTS
from longtail.pipeline.files.tensor_files import load_tensors, save_tensors
from longtail.pipeline.store.identity import earlier_run, is_of_same_data
from longtail.pipeline.store.run_records import provenance, run_settings
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.checkpoint import Checkpoints, Memory
from longtail.stages.wording import counted

if TYPE_CHECKING:
    from longtail.pipeline.training.trainee import Trainee

log = logging.getLogger("longtail")

LEAST_SIDE = 4  # pixels; of less nothing is left once a network has halved it twice


def check_start(config: Config, store: Store) -> None:
    """Refuse a start that cannot work and warn of an unlikely one, before data and weights are opened."""
    warn_of_start(config)
    if config.representation is not None and config.representation.init is not None:
        check_init(config, store)


def check_init(config: Config, store: Store) -> str:
    """The id of the finished run that ``representation.init`` names.

    LongtailError where its state would not fit this run's data, network or optimiser.
    """
    run_id = earlier_run(store, config.representation)
    folder = store.folder("representations", run_id)
    done = store.done("representations", run_id)
    if not is_of_same_data(store, config, run_id):
        raise LongtailError(
            f"representation.init: {folder} was trained on other data or another split, so that its best "
            f"epoch and this run's validation would not be its own; "
            f"representation.weights={folder / done['last']['file']} starts anew from its weights"
        )
    require_imports(_imports_of(store, run_id), "losses")
    _refuse_other_parameters(config.representation, store, run_id)
    return run_id


def continue_run(config: Config, store: Store, trainee: Trainee, checkpoints: Checkpoints) -> Memory:
    """Load an earlier run's last epoch into `trainee`, and make it this run's own first checkpoint.

    Weights, optimiser state, history and best epoch are taken over: with a schedule that gives the same
    rates, the result is bit for bit that of one longer run.
    """
    run_id = check_init(config, store)
    folder = store.folder("representations", run_id)
    done = store.done("representations", run_id)
    memory = Checkpoints(folder).resume(trainee.network, trainee.optimizer, **trainee.extra_state)
    if memory is None or memory.position.epoch != done["epochs"]:
        raise LongtailError(
            f"representation.init: {folder} lacks the optimiser state of its last epoch; "
            f"representation.weights={folder / done['last']['file']} starts anew from its weights"
        )
    if memory.best.epoch:
        tensors, facts, _ = load_tensors(folder / done["best"]["file"])
        save_tensors(checkpoints.folder / BEST_WEIGHTS, tensors, facts)
    log.info("going on from %s, which has %s", run_id, counted(memory.position.epoch, "epoch"))
    return checkpoints.save(trainee.network, trainee.optimizer, memory, **trainee.extra_state)


def _imports_of(store: Store, run_id: str) -> dict[str, dict[str, str]] | None:
    """Components from outside that a run was made with; None when it does not say."""
    try:
        return provenance(store, run_id).get("imports")
    except Damaged as error:
        log.warning("%s; components from outside the package are not compared", error)
        return None


def _has_prior_bias(loss: dict[str, Any]) -> bool:
    """True for a loss, ``{name, ...parameters}``, whose head's bias is not decayed."""
    spec = check_spec("losses", loss)
    facts, settings = spec.component.facts, spec.full()
    if facts.get("prior_bias", False):
        return True
    parameter, value = facts.get("prior_bias_with") or (None, None)
    return parameter is not None and settings.get(parameter) == value


def _refuse_other_parameters(settings: Representation, store: Store, run_id: str) -> None:
    """LongtailError where the optimiser's state would not belong to this run's parameters."""
    folder = store.folder("representations", run_id)
    try:
        written = run_settings(store, run_id)["representation"]
    except (FileNotFoundError, Damaged) as error:
        raise LongtailError(
            f"representation.init: {error}; `longtail represent` with that run's own configuration writes "
            "it again"
        ) from None
    earlier, own = _what_the_optimizer_updates(written), _what_the_optimizer_updates(settings.full())
    differing = [f"{key} {earlier[key]}, this run {own[key]}" for key in own if own[key] != earlier[key]]
    if differing:
        raise LongtailError(
            f"representation.init: {folder} has {'; '.join(differing)}; "
            "representation.weights starts anew from weights alone"
        )


def _what_the_optimizer_updates(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of stage one that decide which parameters there are and in which groups they are."""
    updated = {key: settings[key]["name"] for key in ("backbone", "optimizer")}
    for key in ("trainable", "no_weight_decay", "reweighting"):  # older runs may lack one
        updated[key] = settings.get(key, Representation.model_fields[key].default)
    head_bias = ["head_bias"] if _has_prior_bias(settings["loss"]) else []
    return {**updated, "undecayed": sorted({*updated["no_weight_decay"], *head_bias})}


def warn_of_start(config: Config) -> None:
    """Warn of what is allowed but hardly intended: frozen random weights, pictures of a few pixels."""
    settings, side = config.representation, config.data.full().get("image_size")
    if side is not None and side < LEAST_SIDE:
        log.warning("data.image_size=%d leaves little to see; most pictures need 32 or more", side)
    if settings is None or settings.weights is not None or settings.init is not None:
        return
    if settings.trainable != "all":
        log.warning(
            "representation.trainable=%s freezes a backbone of random weights; name weights to start from: "
            "representation.weights=FILE or =torchvision",
            settings.trainable,
        )
