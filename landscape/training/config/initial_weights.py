"""Initial weights of a run that a file holds: of a finished run, a snapshot, or a weight file of any origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from landscape.errors import LandscapeError
from landscape.models.checkpoint import Checkpoint, is_checkpoint, load_checkpoint
from landscape.models.state_dict import load_state
from landscape.models.weight_files import load_weights
from landscape.storage.atomic_write import file_sha256

_TRAINED = ("recipe", "optimizer", "epochs_taken", "seed", "rho")  # settings of the earlier run that provenance repeats


@dataclass(frozen=True)
class InitialWeights:
    """A file of weights that a run starts from, with a new optimizer and a new schedule.

    >>> from landscape.training import TrainConfig
    >>> TrainConfig(recipe="sam", epochs=5, start=InitialWeights("adam.pt")).start.path.name
    'adam.pt'

    Args:
        path: a checkpoint, a snapshot, or a `.pt` or `.safetensors` file that fits the model.
        key: key of the weights in the file, such as "model_ema"; by default a usual one.
    """

    path: Path | str
    key: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint in the file; None for other weights."""
        return load_checkpoint(self.path) if is_checkpoint(self.path) else None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the file, and the key of the weights if one is given."""
        sha256 = file_sha256(self.path)
        return sha256 if self.key is None else f"{sha256} {self.key}"

    def check(self) -> None:
        """Read the file.

        Raises:
            LandscapeError: for one that cannot be read or holds no weights.
        """
        load_weights(self.path, key=self.key)

    def model_arguments(self, model: str) -> Mapping[str, Any]:
        """Return the arguments of the model that the file states; none for files other than checkpoints.

        Raises:
            LandscapeError: for a file that cannot be read, or a checkpoint of another model.
        """
        if self.checkpoint is None:
            return {}
        if self.checkpoint.model != model:
            raise LandscapeError(f"{self.path} holds a {self.checkpoint.model}, not a {model}; set that model")
        return self.checkpoint.model_arguments

    def load_into(self, model: nn.Module) -> list[str]:
        """Copy the weights and buffers into a model, and return a sentence for each step of their extraction.

        Raises:
            LandscapeError: for a file that cannot be read, or weights that do not fit the model.
        """
        state, notes = load_weights(self.path, names=model.state_dict(), key=self.key)
        try:
            load_state(model, state)
        except LandscapeError as error:
            raise LandscapeError(f"cannot start from {self.path}: {error}") from error
        return notes

    def describe(self) -> dict[str, Any]:
        """Return the origin of the weights: file, fingerprint, and the run that made them, JSON-able."""
        described: dict[str, Any] = {"file": Path(self.path).name, "fingerprint": self.fingerprint}
        if self.checkpoint is not None:
            training = self.checkpoint.training
            described.update({name: training[name] for name in _TRAINED if training.get(name) is not None})
            if "start" in self.checkpoint.provenance:
                described["start"] = self.checkpoint.provenance["start"]
        return described
