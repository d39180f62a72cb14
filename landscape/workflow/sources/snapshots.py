"""Snapshots of a checkpoint's run as models to measure."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

from landscape.models.checkpoint import load_state, load_weights
from landscape.workflow.sources.loaded_model import LoadedModel


def snapshot_model(model: LoadedModel, path: Path, position: float) -> LoadedModel:
    """Return the model with the weights of a snapshot of its run, labelled by its position: `adam@3`.

    What the checkpoint recorded at the end of the run (losses, the reference loss) is not that of a snapshot, and is
    dropped.

    Args:
        model: the checkpoint that the run ended with.
        path: file of the snapshot.
        position: on the run, such as its epoch.

    Raises:
        LandscapeError: for weights that do not fit the model.
    """
    network = copy.deepcopy(model.model)
    load_state(network, load_weights(path, names=network.state_dict())[0])
    checkpoint = model.checkpoint
    if checkpoint is not None:
        checkpoint = dataclasses.replace(checkpoint, history={}, final={}, reference={})
    return dataclasses.replace(
        model,
        label=f"{model.label}@{position:g}",
        path=path,
        model=network.eval(),
        checkpoint=checkpoint,
        _reproduced={},
        _origin={},
    )
