"""A training run between two steps: everything that decides how it goes on, in memory and in a file."""

from __future__ import annotations

import dataclasses
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
from landscape.training.distributed import Processes
from landscape.training.evaluation import Evaluation
from landscape.training.optimizers import make_optimizer
from landscape.training.recipes import TrainConfig
from landscape.training.schedule import plateau
from landscape.training.settings import initial_model
from landscape.training.state import FORMAT, StateSchema, read_state


class Run:
    """The state of a run by a configuration with nothing left open.

    Attributes:
        model: the weights as the optimizer moves them.
        trained: the model as the steps call it: the same, or wrapped for several processes.
        epoch: number of finished epochs.
        step: number of finished steps of the epoch after those.
        losses: sum of the losses of those steps, on the device.
        evaluated: examples times gradients so far, in all processes.
        seconds: time spent so far, by all attempts together.
        history: the finished epochs' rows by column.
        best: state dict with the lowest validation loss so far, where the run may stop early.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, processes: Processes) -> None:
        self.config, self.processes, self.device = config, processes, torch.device(config.device)
        self.model = initial_model(config).train()
        self.trained: nn.Module = self.model
        if processes.count > 1:
            self.trained = DistributedDataParallel(self.model)
        self.optimizer = make_optimizer(config, self.trained)
        self.average = averaged_model(config, self.model)
        self.scaler = GradScaler(self.device.type) if config.precision == "float16" else None
        self.plateau: ReduceLROnPlateau | None = plateau(self.optimizer) if config.schedule == "plateau" else None
        self.epoch = self.step = self.evaluated = self.resumed = 0
        self.losses = torch.zeros((), device=self.device)
        self.seconds = 0.0
        self.history: dict[str, list[float]] = {}
        self.best: dict[str, Tensor] | None = None
        self._identity = _identity(config, dataset, processes)
        self._columns = [  # of the history
            "epoch",
            *(f"{split}_{metric}" for split in dataset.splits for metric in Evaluation._fields),
            *("learning_rate", "gradient_evaluations", "seconds"),
        ]

    @property
    def wait(self) -> int:
        """Epochs since the validation loss was lowest."""
        losses = self.history.get("validation_loss", [])
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0

    @property
    def ended(self) -> bool:
        """Whether no epoch is left, or patience is at its end."""
        assert self.config.patience is not None
        return self.epoch >= self.config.epochs or 0 < self.config.patience <= self.wait

    def remember_best(self) -> None:
        """Keep the weights if the run may stop early and the validation loss was never lower than in the last epoch."""
        if self.config.patience and self.wait == 0:
            self.best = self.weights()

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the weights and buffers on the CPU."""
        return {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write the state whole, unless the losses since the last time are not finite (then the older one stays)."""
        if not math.isfinite(self.losses.item()):
            return
        buffer = io.BytesIO()
        torch.save(self._content(), buffer)
        write_atomically(path, lambda file: file.write(buffer.getbuffer()))

    def restore(self, path: Path, *, steps: int) -> None:
        """Take the state from a file, to the bit.

        Args:
            path: the file.
            steps: of an epoch.

        Raises:
            LandscapeError: for a damaged or foreign file, or one of a run with other settings or data.
        """
        content = read_state(path)
        there, here = content["identity"], self._identity
        for key in [*here, *(key for key in there if key not in here)]:
            if there.get(key) != here.get(key):
                raise LandscapeError(
                    f"{path} is of an unfinished run with other settings: {key} is {there.get(key)} there and "
                    f"{here.get(key)} here; repeat those settings to go on with it, or --overwrite it"
                )
        self._check(path, content, steps)
        try:
            for name, part in self._parts().items():
                part.load_state_dict(content["parts"][name])
            torch.set_rng_state(content["random"]["cpu"])
            if self.device.type != "cpu":
                torch.get_device_module(self.device).set_rng_state(content["random"]["device"].cpu())
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise LandscapeError(f"{path} is damaged: {reason}; move it away, or --overwrite it") from error
        for name in _COUNTERS:
            setattr(self, name, content["counters"][name])
        self.losses.copy_(content["losses"])
        self.history, self.best = content["history"], content["best"]
        self.resumed += 1

    def _content(self) -> dict[str, Any]:
        random = {"cpu": torch.get_rng_state()}
        if self.device.type != "cpu":
            random["device"] = torch.get_device_module(self.device).get_rng_state()
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
        """Refuse a state that no run of this configuration can have been in."""
        own = self._content()
        schema = StateSchema(path, [p.shape for group in self.optimizer.param_groups for p in group["params"]])
        schema.keys("the state", content, list(own))
        for name in ("random", "parts", "counters", "losses"):
            schema.like(name, content[name], own[name])
        if not math.isfinite(content["losses"].item()):
            schema.refuse("losses", "a finite number", content["losses"])
        counters, history = content["counters"], content["history"]
        for name, most in (("epoch", self.config.epochs), ("step", steps), ("evaluated", math.inf)):
            schema.count(f"counters.{name}", counters[name], most)
        schema.count("counters.resumed", counters["resumed"])
        for column in schema.keys("history", history, self._columns if counters["epoch"] else []):
            schema.numbers(f"history.{column}", history[column], counters["epoch"])
        if content["best"] is not None or (self.config.patience and counters["epoch"]):
            schema.like("best", content["best"], own["parts"]["model"])

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
    """Return the settings of the unfinished run in a file; nothing where it cannot be read (`restore` says why)."""
    try:
        return dict(read_state(path)["identity"])
    except LandscapeError:
        return {}


_COUNTERS = ("epoch", "step", "evaluated", "seconds", "resumed")


def _identity(config: TrainConfig, dataset: Dataset, processes: Processes) -> dict[str, Any]:
    """Return what must be equal for a run to go on with another's state, JSON-able."""
    settings = json.loads(json.dumps(dataclasses.asdict(config)))
    fingerprints = {f"the {split} data": dataset.fingerprint(split) for split in dataset.splits}
    normalization = {"mean": dataset.mean and list(dataset.mean), "std": dataset.std and list(dataset.std)}
    return {**settings, **fingerprints, **normalization, "processes": processes.count}
