"""State of a training run between two steps, in memory and in a file: all that its continuation depends on."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import ReduceLROnPlateau

from landscape.data import Dataset
from landscape.errors import LandscapeError
from landscape.storage.atomic_write import write_atomically
from landscape.training.averaging import averaged_model
from landscape.training.config.recipes import ResolvedConfig
from landscape.training.config.schedule import plateau_scheduler
from landscape.training.distributed import ProcessGroup
from landscape.training.evaluation import LossAndAccuracy
from landscape.training.optimizers import make_optimizer
from landscape.training.sam.passes import random_states, set_random_states
from landscape.training.settings import initial_model
from landscape.training.state import FORMAT, StateSchema, read_state


class TrainingRun:
    """State of a training run.

    Attributes:
        model: the weights as the optimizer moves them.
        trained: the module that the steps call: `model`, or its wrapper for several processes.
        epoch: number of finished epochs.
        step: number of finished steps of the current epoch.
        losses: sum of the losses of these steps, on the device.
        evaluated: number of per-example gradients so far, in all processes.
        seconds: duration so far, that of interrupted attempts included.
        history: one value per finished epoch, by column.
        best: state dict with the lowest validation loss so far, if the run may stop early.
    """

    def __init__(self, config: ResolvedConfig, dataset: Dataset, group: ProcessGroup) -> None:
        self.config, self.group, self.device = config, group, torch.device(config.device)
        self.model = initial_model(config).train()
        self.trained: nn.Module = self.model
        if group.size > 1:
            self.trained = DistributedDataParallel(self.model)
        self.optimizer = make_optimizer(config, self.trained)
        self.average = averaged_model(config, self.model)
        self.scaler = GradScaler(self.device.type) if config.precision == "float16" else None
        self.plateau: ReduceLROnPlateau | None = None
        if config.schedule == "plateau":
            self.plateau = plateau_scheduler(self.optimizer)
        self.epoch = self.step = self.evaluated = self.resumed = 0
        self.losses = torch.zeros((), device=self.device)
        self.seconds = 0.0
        self.history: dict[str, list[float]] = {}
        self.best: dict[str, Tensor] | None = None
        self._identity = _identity(config, dataset, group)
        self._columns = [  # of the history
            "epoch",
            *(f"{split}_{metric}" for split in dataset.splits for metric in LossAndAccuracy._fields),
            *("learning_rate", "gradient_evaluations", "seconds"),
        ]

    @property
    def epochs_since_best(self) -> int:
        """Number of epochs since the lowest validation loss."""
        losses = self.history.get("validation_loss", [])
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0

    @property
    def is_finished(self) -> bool:
        """True after the last epoch, or if patience is exhausted."""
        return self.epoch >= self.config.epochs or 0 < self.config.patience <= self.epochs_since_best

    def remember_best(self) -> None:
        """Copy the weights to `best` if the run may stop early and the last epoch has the lowest validation loss."""
        if self.config.patience and self.epochs_since_best == 0:
            self.best = self.weights()

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the weights and buffers on the CPU."""
        return {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write the state atomically; if the losses of the current epoch are not finite, the older state stays."""
        if not math.isfinite(self.losses.item()):
            return
        buffer = io.BytesIO()
        torch.save(self._content(), buffer)
        write_atomically(path, lambda file: file.write(buffer.getbuffer()))

    def restore(self, path: Path, *, steps: int) -> None:
        """Load the state from a file, bit for bit.

        Args:
            path: the file.
            steps: number of steps in an epoch.

        Raises:
            LandscapeError: for a damaged or foreign file, or one of a run with other settings or data.
        """
        content = read_state(path)
        stored, current = content["identity"], self._identity
        for key in [*current, *(key for key in stored if key not in current)]:
            if stored.get(key) != current.get(key):
                raise LandscapeError(
                    f"{path} is of an unfinished run with other settings: {key} is {stored.get(key)} there and "
                    f"{current.get(key)} here; repeat those settings to resume it, or --overwrite it"
                )
        self._check(path, content, steps)
        try:
            for name, part in self._parts().items():
                part.load_state_dict(content["parts"][name])
            states = {torch.device("cpu"): content["random"]["cpu"]}
            if self.device.type != "cpu":
                states[self.device] = content["random"]["device"].cpu()
            set_random_states(states)
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise LandscapeError(f"{path} is damaged: {reason}; move it away, or --overwrite it") from error
        for name in _COUNTERS:
            setattr(self, name, content["counters"][name])
        self.losses.copy_(content["losses"])
        self.history, self.best = content["history"], content["best"]
        self.resumed += 1

    def _content(self) -> dict[str, Any]:
        states = random_states({self.device})
        random = {"cpu": states[torch.device("cpu")]}
        if self.device.type != "cpu":
            random["device"] = states[self.device]
        return {
            "format": FORMAT,
            "identity": self._identity,
            "random": random,
            "parts": {name: part.state_dict() for name, part in self._parts().items()},
            "counters": {name: getattr(self, name) for name in _COUNTERS},
            "losses": self.losses,
            "history": self.history,
            "best": self.best,
        }

    def _check(self, path: Path, content: dict[str, Any], steps: int) -> None:
        """Raise a LandscapeError for a state that no run of this configuration can be in."""
        initial = self._content()
        schema = StateSchema(path, [p.shape for group in self.optimizer.param_groups for p in group["params"]])
        schema.keys("the state", content, list(initial))
        for name in ("random", "parts", "counters", "losses"):
            schema.like(name, content[name], initial[name])
        if not math.isfinite(content["losses"].item()):
            schema.refuse("losses", "a finite number", content["losses"])
        counters, history = content["counters"], content["history"]
        for name, limit in (("epoch", self.config.epochs), ("step", steps), ("evaluated", math.inf)):
            schema.count(f"counters.{name}", counters[name], limit)
        schema.count("counters.resumed", counters["resumed"])
        for column in schema.keys("history", history, self._columns if counters["epoch"] else []):
            schema.numbers(f"history.{column}", history[column], counters["epoch"])
        if content["best"] is not None or (self.config.patience and counters["epoch"]):
            schema.like("best", content["best"], initial["parts"]["model"])

    def _parts(self) -> dict[str, Any]:
        parts = {
            "model": self.model,
            "optimizer": self.optimizer,
            "average": self.average,
            "scaler": self.scaler,
            "plateau": self.plateau,
        }
        return {name: part for name, part in parts.items() if part is not None}


def settings_of(path: Path) -> dict[str, Any]:
    """Return the settings of the unfinished run in a file; empty if unreadable (`TrainingRun.restore` says why)."""
    try:
        return dict(read_state(path)["identity"])
    except LandscapeError:
        return {}


_COUNTERS = ("epoch", "step", "evaluated", "seconds", "resumed")


def _identity(config: ResolvedConfig, dataset: Dataset, group: ProcessGroup) -> dict[str, Any]:
    """Return the settings and data that must be equal to resume a run, JSON-able."""
    settings = json.loads(json.dumps(config.recorded()))
    fingerprints = {f"the {split} data": dataset.fingerprint(split) for split in dataset.splits}
    normalization = {"mean": dataset.mean and list(dataset.mean), "std": dataset.std and list(dataset.std)}
    return {**settings, **fingerprints, **normalization, "processes": group.size}
