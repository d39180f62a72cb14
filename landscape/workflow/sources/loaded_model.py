"""A model with the weights of a file and its data: the source of measurements on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape.analysis.objective.losses import Metric
from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.objective.objective import Objective
from landscape.data import Dataset, quota_subset, stratified_subset
from landscape.models.checkpoint import Checkpoint
from landscape.seeding import random_indices
from landscape.storage.atomic_write import file_sha256
from landscape.storage.user_path import without_folders
from landscape.workflow.reporter import Quiet, Reporter
from landscape.workflow.sources.calibration import calibration_inputs, calibration_words
from landscape.workflow.sources.plausibility import origin_accuracy
from landscape.workflow.sources.specs import ModelSpec, Sample
from landscape.workflow.sources.user_code import load_loss

REPRODUCED = 1e-3  # relative difference up to which a checkpoint counts as reproducing its recorded loss


@dataclass(frozen=True)
class LoadedModel:
    """A model with weights and data, ready to be measured.

    Args:
        label: name of the weights.
        path: their file.
        model: in evaluation mode.
        dataset: normalized as the model was trained.
        checkpoint: what the file holds; None for foreign weights.
        sample: examples and loss.
        spec: architecture, if it is not the checkpoint's own.
        code: fingerprints of the user's own source files.
        notes: how foreign weights were read.
        reporter: receives messages.
    """

    label: str
    path: Path
    model: nn.Module
    dataset: Dataset
    checkpoint: Checkpoint | None
    sample: Sample
    spec: ModelSpec = field(default_factory=ModelSpec)
    code: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reporter: Reporter = field(default_factory=Quiet, repr=False)
    _reproduced: dict[str, Any] = field(default_factory=dict, repr=False)  # shared by copies with another sample
    _origin: dict[str, Any] = field(default_factory=dict, repr=False)  # accuracy at the origin; shared, too

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return file_sha256(self.path)

    @property
    def state(self) -> Mapping[str, Tensor]:
        """Parameters and buffers."""
        return self.model.state_dict()

    def identity(self) -> dict[str, Any]:
        """Return hashes of weights and data, and the settings of sample and loss, JSON-able."""
        sample, spec = self.sample, self.spec
        return {
            "checkpoint": self.sha256,
            "model": spec.name and without_folders(spec.name),
            "model_args": None if spec.name is None else dict(spec.arguments),
            **({} if spec.weights_key is None else {"weights_key": spec.weights_key}),
            "data": {split: self.dataset.fingerprint(split) for split in sample.splits},
            "mean": self.dataset.mean and list(self.dataset.mean),
            "std": self.dataset.std and list(self.dataset.std),
            "splits": list(sample.splits),
            "subset": "all" if sample.size is None else str(sample.size),
            "loss": without_folders(sample.loss),
            "params": sample.params,
            "seed": sample.seed,
        }

    def attributes(self) -> dict[str, Any]:
        """Return the provenance of weights and data, JSON-able."""
        sample, checkpoint = self.sample, self.checkpoint
        attributes: dict[str, Any] = {
            "checkpoint": self.label,
            "checkpoints": [{"label": self.label, "sha256": self.sha256}],
            "model": without_folders(self.spec.name or (checkpoint.model if checkpoint else "")),
            "data": self.dataset.describe(),
            "subset": sample.size or "all",
            "subset_seed": sample.seed,
            "seed": sample.seed,
        }
        if self.notes:
            attributes["weights"] = list(self.notes)
        if "accuracy" in self._origin:
            attributes["origin"] = dict(self._origin)
        if checkpoint is not None:
            attributes["model_arguments"] = checkpoint.model_arguments
            attributes["recipe"] = checkpoint.training.get("recipe")
            attributes["training"] = checkpoint.training
            attributes["final"] = checkpoint.final
        return attributes

    def objective(
        self,
        *,
        first_split: bool = False,
        every_example: bool = False,
        splits: Sequence[str] | None = None,
        batchnorm: BatchNormMode | None = None,
        metrics: Mapping[str, Metric] | None = None,
    ) -> Objective:
        """Return the objective on the sample.

        Args:
            first_split: on the first split alone.
            every_example: on all examples instead of the sample.
            splits: on these splits instead of the sample's.
            batchnorm: mode of the statistics; "fixed" if None.
            metrics: further functions like the loss, by name.

        Raises:
            LandscapeError: if model, data and loss do not fit each other.
        """
        sample = self.sample
        mode = batchnorm or "fixed"
        data: dict[str, Any] = {}
        for split in splits or (sample.splits[:1] if first_split else sample.splits):
            examples = self.dataset.splits[split]
            chosen: slice | Tensor = slice(None)
            if sample.size is not None and not every_example:
                chosen = stratified_subset(examples.labels, sample.size, sample.seed)
            if mode == "batch":  # data in the order of their classes would make batches unlike those of training
                places = torch.arange(len(examples))[chosen]
                chosen = places[torch.from_numpy(random_indices(len(places)))]
            data[split] = (examples.inputs[chosen], self.targets(examples.labels[chosen]))
        return Objective(
            self.model,
            load_loss(sample.loss),
            data,
            metrics=metrics,
            params=sample.params,
            batchnorm=mode,
            calibration=calibration_inputs(self.dataset, self.checkpoint) if mode == "recalibrated" else None,
            device=sample.device,
            preprocess=self.dataset.preprocess,
        )

    def calibration(self, batchnorm: BatchNormMode) -> dict[str, Any]:
        """Return the examples that BatchNorm is recalibrated on, in words; empty for other modes."""
        return {"calibration": calibration_words(self.dataset, self.checkpoint)} if batchnorm == "recalibrated" else {}

    def targets(self, labels: Tensor) -> Tensor:
        """Return the targets of the loss: the labels, or for mse numbers of the outputs' shape."""
        if self.sample.loss != "mse":
            return labels
        try:
            with torch.no_grad():
                outputs = self.model(self.dataset.preprocess(self.dataset.splits["train"].inputs[:2]))
        except Exception:  # the objective, which runs the model on the same inputs, says what is wrong
            return labels
        shape = tuple(outputs.shape[1:]) if isinstance(outputs, Tensor) else None
        if shape == (len(self.dataset.classes),):
            return nn.functional.one_hot(labels, len(self.dataset.classes)).float()
        return labels.float().reshape(-1, *shape) if shape in ((), (1,)) else labels

    def reproduce(self) -> dict[str, Any] | None:
        """Measure the checkpoint's recorded loss again, report the comparison, and return it; None if there is none.

        The accuracy at the origin is measured and judged, too.
        """
        self.origin()
        reference = self.checkpoint.reference if self.checkpoint else {}
        if self.sample.loss != "cross_entropy" or not {"split", "subset", "seed", "loss"} <= reference.keys():
            return None
        if reference["split"] not in self.dataset.splits:
            return None
        if self._reproduced:
            return self._reproduced
        examples = self.dataset.splits[reference["split"]]
        chosen = quota_subset(examples.labels, reference["subset"], reference["seed"])
        objective = Objective(
            self.model,
            "cross_entropy",
            examples.inputs[chosen],
            examples.labels[chosen],
            device=self.sample.device,
            preprocess=self.dataset.preprocess,
        )
        loss, recorded = objective.loss(), float(reference["loss"])
        agrees = abs(loss - recorded) <= REPRODUCED * max(abs(recorded), 1e-6)
        what = f"the loss on {len(chosen)} {reference['split']} examples: recorded {recorded:.6g}, measured {loss:.6g}"
        if agrees:
            self.reporter.say(f"{self.label}: reproduces {what}")
        else:
            self.reporter.warn(
                f"{self.label} does NOT reproduce {what}; are data and normalization those it was trained with?"
            )
        self._reproduced.update(recorded=recorded, reproduced=loss, agrees=agrees)
        return self._reproduced

    def origin(self) -> dict[str, Any]:
        """Measure the accuracy on the first split once, report it, warn if it is implausible, and return it.

        The entries are those of `origin_accuracy` and the split; the split alone for a loss without an accuracy.
        """
        if self._origin:
            return self._origin
        split = self.sample.splits[0]
        objective = self.objective(first_split=True)
        self._origin["split"] = split
        if "accuracy" in objective.metrics:
            final = self.checkpoint.final if self.checkpoint else {}
            labels = self.dataset.splits[split].labels
            origin = origin_accuracy(objective, split, labels, final.get(f"{split}_accuracy"))
            self._origin.update(origin)
            self.reporter.say(f"{self.label}: accuracy on {origin['n']} {split} examples {origin['accuracy']:.1%}")
            for message in origin["warnings"]:
                self.reporter.warn(f"{self.label}: {message}")
        return self._origin
