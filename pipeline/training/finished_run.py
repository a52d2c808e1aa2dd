"""The end of a run: ``DONE`` with the hashes of its weights, and the network made from them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longtail.pipeline.config.loading import Config
from longtail.pipeline.errors import Damaged, DamagedWeights
from longtail.pipeline.files.epoch_files import BEST_WEIGHTS, weights_name
from longtail.pipeline.files.tensor_files import load_tensors
from longtail.pipeline.store.run_records import RUN_FILES, damaged_files
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.checkpoint import Checkpoints, Memory
from longtail.pipeline.training.state_tensors import load_network
from longtail.pipeline.training.trainee_building import build_loss, build_network

if TYPE_CHECKING:
    from longtail.stages.data import Splits
    from longtail.stages.network import Network


def is_finished(store: Store, run_id: str) -> bool:
    """True when a run is done and its files are there (a slower twin may have replaced some)."""
    done = store.done("representations", run_id)
    if done is None or damaged_files(store, run_id):
        return False
    try:
        Checkpoints(store.folder("representations", run_id)).check_best(done["best"]["tensors"])
    except Damaged:
        return False
    return True


def publish_done(
    store: Store, run_id: str, memory: Memory, checkpoints: Checkpoints, data: dict[str, Any]
) -> None:
    """Publish ``DONE`` with the hashes of the last and the best weights, and the identity of the data."""
    epochs, best = memory.position.epoch, memory.best
    checkpoints.check_best(best.tensors)
    last_file = weights_name(epochs)
    last = {"file": last_file, "tensors": load_tensors(checkpoints.folder / last_file)[2]}
    best_hash = load_tensors(checkpoints.folder / BEST_WEIGHTS)[2]
    facts = {
        "epochs": epochs,
        "data": data,
        "last": last,
        "best": {"file": BEST_WEIGHTS, "tensors": best_hash, "epoch": best.epoch},
    }
    store.finish("representations", run_id, facts, [last_file, BEST_WEIGHTS, *RUN_FILES])


def trained_network(config: Config, store: Store, run_id: str, splits: Splits, which: str) -> Network:
    """The finished run's network with its `which` (last or best) weights, verified.

    Raises DamagedWeights when the file is missing or is not the one the run finished with.
    """
    weights = store.done("representations", run_id)[which]
    path = store.folder("representations", run_id) / weights["file"]
    try:
        tensors, _, tensors_hash = load_tensors(path)
        if tensors_hash != weights["tensors"]:
            raise Damaged(f"{path}: is not the file this run finished with")
    except FileNotFoundError:
        raise DamagedWeights(f"{path}: is missing") from None
    except Damaged as error:
        raise DamagedWeights(str(error)) from None
    network = build_network(config, splits, build_loss(config, splits))
    load_network(network, tensors, path)
    return network
