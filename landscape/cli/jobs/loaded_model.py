"""From what a user names on the command line to objectives: checkpoints, weight files, data."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape.analysis.objective.batchnorm import BatchNormMode, random_places
from landscape.analysis.objective.losses import Metric
from landscape.analysis.objective.objective import Objective
from landscape.cli.jobs.calibration import calibration_inputs
from landscape.cli.jobs.plausibility import origin_accuracy
from landscape.cli.jobs.user_code import load_loss, load_model
from landscape.cli.options.analysis import (
    AnalysisOptions,
    DataOptions,
    expand,
    expect,
    json_object,
    subset_size,
)
from landscape.cli.terminal import console
from landscape.data import Dataset, hold_out, load_dataset, quota_subset, stratified_subset
from landscape.errors import LandscapeError
from landscape.models.checkpoint import Checkpoint, file_sha256, is_checkpoint, load_checkpoint

REPRODUCED = 1e-3  # relative difference of the losses up to which a checkpoint counts as reproduced


@dataclass(frozen=True)
class Subject:
    """A model with weights and data, ready to be measured."""

    label: str
    path: Path
    model: nn.Module
    dataset: Dataset
    checkpoint: Checkpoint | None  # None for foreign weights
    options: AnalysisOptions
    notes: tuple[str, ...] = ()  # what was done to get at foreign weights
    _reproduced: dict[str, Any] = field(default_factory=dict, repr=False)  # shared by `for_options`
    _origin: dict[str, Any] = field(default_factory=dict, repr=False)  # the accuracy there; shared, too

    def for_options(self, options: AnalysisOptions) -> Subject:
        """Return the same subject for another command's options."""
        return dataclasses.replace(self, options=options)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return file_sha256(self.path)

    @property
    def state(self) -> Mapping[str, Tensor]:
        """Parameters and buffers."""
        return self.model.state_dict()

    def objective(
        self,
        *,
        splits: Sequence[str] | None = None,
        batchnorm: BatchNormMode = "fixed",
        metrics: Mapping[str, Metric] | None = None,
        indices: Mapping[str, Tensor] | None = None,
    ) -> Objective:
        """Return the objective on the sample of the data that the options ask for, or on these `indices` of each split.

        Raises:
            LandscapeError: where model, data and loss do not fit each other.
        """
        options = self.options
        size = subset_size(options.subset)
        data: dict[str, Any] = {}
        for split in splits or options.splits:
            examples = self.dataset.splits[split]
            chosen: slice | Tensor = (
                slice(None) if size is None else stratified_subset(examples.labels, size, options.seed)
            )
            if indices is not None:
                chosen = indices[split]
            if batchnorm == "batch":  # data in the order of their classes would make batches unlike those of training
                places = torch.arange(len(examples))[chosen]
                chosen = places[torch.from_numpy(random_places(len(places)))]
            data[split] = (examples.inputs[chosen], self.targets(examples.labels[chosen]))
        return Objective(
            self.model,
            load_loss(options.loss),
            data,
            metrics=metrics,
            params=options.params,
            batchnorm=batchnorm,
            calibration=calibration_inputs(self.dataset, self.checkpoint) if batchnorm == "recalibrated" else None,
            device=options.device,
            preprocess=self.dataset.preprocess,
        )

    def targets(self, labels: Tensor) -> Tensor:
        """Return what the loss compares the outputs with: the labels, or for mse numbers of the outputs' shape."""
        if self.options.loss != "mse":
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

    def attributes(self) -> dict[str, Any]:
        """Return what results say of their subject, JSON-able."""
        found: dict[str, Any] = {
            "checkpoint": self.label,
            "checkpoints": [{"label": self.label, "sha256": self.sha256}],
            "model": console.shortened(self.options.model or (self.checkpoint.model if self.checkpoint else "")),
            "data": self.dataset.describe(),
            "subset": subset_size(self.options.subset) or "all",
            "subset_seed": self.options.seed,
            "seed": self.options.seed,
        }
        if self.notes:
            found["weights"] = list(self.notes)
        if "accuracy" in self._origin:
            found["origin"] = dict(self._origin)
        if self.checkpoint is not None:
            found["model_arguments"] = self.checkpoint.model_arguments
            found["recipe"] = self.checkpoint.training.get("recipe")
            found["training"] = self.checkpoint.training
            found["final"] = self.checkpoint.final
        return found

    def reproduce(self) -> dict[str, Any] | None:
        """Measure the checkpoint's recorded reference loss again, say how that went, and return it for the results.

        The accuracy at the origin is measured and judged, too.
        """
        self._check_accuracy()
        reference = self.checkpoint.reference if self.checkpoint else {}
        if self.options.loss != "cross_entropy" or not {"split", "subset", "seed", "loss"} <= reference.keys():
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
            device=self.options.device,
            preprocess=self.dataset.preprocess,
        )
        found, recorded = objective.loss(), float(reference["loss"])
        agrees = abs(found - recorded) <= REPRODUCED * max(abs(recorded), 1e-6)
        where = f"the loss on {len(chosen)} {reference['split']} examples: recorded {recorded:.6g}, found {found:.6g}"
        if agrees:
            console.say(f"{self.label}: reproduces {where}")
        else:
            console.warn(
                f"{self.label} does NOT reproduce {where}; are data and normalization those it was trained with?"
            )
        self._reproduced.update(recorded=recorded, reproduced=found, agrees=agrees)
        return self._reproduced

    def _check_accuracy(self) -> None:
        """Measure the accuracy on the first split once, say it, and warn if it is implausible."""
        if self._origin:
            return
        split = self.options.splits[0]
        objective = self.objective(splits=[split])
        self._origin["split"] = split
        if "accuracy" in objective.metrics:
            final = self.checkpoint.final if self.checkpoint else {}
            recorded = final.get(f"{split}_accuracy")
            found = origin_accuracy(objective, split, self.dataset.splits[split].labels, recorded)
            self._origin.update(found)
            console.say(f"{self.label}: accuracy on {found['n']} {split} examples {found['accuracy']:.1%}")
            for message in found["warnings"]:
                console.warn(f"{self.label}: {message}")


def load_subjects(options: AnalysisOptions) -> list[Subject]:
    """Return the checkpoints or weight files of a command with their data.

    Raises:
        LandscapeError: for an option that cannot be, anything unreadable, or data that does not fit a checkpoint.
    """
    _check(options)
    paths = [expand(path) for path in options.checkpoints]
    datasets: dict[tuple[str, int], Dataset] = {}
    subjects = []
    for path, label in zip(paths, _labels(paths), strict=True):
        checkpoint = load_checkpoint(path) if options.model is None or is_checkpoint(path) else None
        spec = _data_spec(options, path, checkpoint)
        try:
            model, notes = load_model(options, path, checkpoint)
        except LandscapeError as error:
            raise error if str(path) in str(error) else LandscapeError(f"{path}: {error}") from error
        if (spec, 0) not in datasets:
            datasets[spec, 0] = read_data(options, spec)
            for note in datasets[spec, 0].notes:
                console.say(f"data: {note}")
        held = _held_out(checkpoint)
        if (spec, held) not in datasets:
            datasets[spec, held] = hold_out(datasets[spec, 0], held)
        dataset = _fitted(datasets[spec, held], checkpoint, options, label)
        unknown = [split for split in options.splits if split not in dataset.splits]
        if unknown:
            raise LandscapeError(f"no split {unknown[0]!r} in the data; it has {', '.join(dataset.splits)}")
        if checkpoint is None and dataset.is_images and dataset.normalization == "measured":
            raise LandscapeError(
                "the normalization that these weights were trained with is not known; "
                "give --mean and --std, or --no-normalize"
            )
        subjects.append(Subject(label, path, model, dataset, checkpoint, options, tuple(notes)))
    return subjects


def _check(options: AnalysisOptions) -> None:
    """Refuse options that cannot be before anything is read or written."""
    from landscape.execution.device import choose_device

    if not options.checkpoints:
        raise LandscapeError("expected at least one checkpoint; see --help, or make one with landscape train or demo")
    subset_size(options.subset)
    splits = options.splits
    expect(
        all(splits) and len(set(splits)) == len(splits), "--splits", ",".join(splits), "names, each once: train,test"
    )
    expect(0 <= options.seed < 2**63, "--seed", options.seed, "a whole number of at least 0")
    name = options.name
    if name is not None:
        fits = name.strip(".") and name.isprintable() and "/" not in name and name != "history"
        expect(bool(fits), "--name", repr(name), "a name without slashes, other than history")
    if json_object(options.model_args) and options.model is None:
        raise LandscapeError("--model-args are arguments of --model, which is not given")
    if options.weights_key is not None and options.model is None:
        raise LandscapeError("--weights-key is of the weight files of your own --model, which is not given; add it")
    choose_device(options.device)


def read_data(options: DataOptions, spec: str) -> Dataset:
    """Return the data set that the options name."""
    return load_dataset(
        spec,
        image_size=options.image_size,
        mean=options.mean,
        std=options.std,
        normalize=False if options.no_normalize else None,
    )


def _labels(paths: Sequence[Path]) -> list[str]:
    """Return the stems; where two are alike, with their folders' names."""
    counts = Counter(path.stem for path in paths)
    names = [path.stem if counts[path.stem] == 1 else f"{path.resolve().parent.name}-{path.stem}" for path in paths]
    # Whatever a file is called, its label can be printed, and name a group of an HDF5 file and a file.
    labels = ["".join(c if c.isprintable() and c not in '\\/:*?"<>|' else "_" for c in name) for name in names]
    labels = [label if label.strip(".") else f"_{label}" for label in labels]
    if len(set(labels)) < len(labels):
        twice = next(str(path) for path, label in zip(paths, labels, strict=True) if labels.count(label) > 1)
        raise LandscapeError(f"{twice} is named twice, or shares its name with another; rename one of the files")
    return labels


def _data_spec(options: AnalysisOptions, path: Path, checkpoint: Checkpoint | None) -> str:
    if options.data is not None:
        return options.data
    spec = checkpoint.data.get("spec") if checkpoint else None
    if spec is None:
        raise LandscapeError(f"{path} does not say which data it belongs to; give --data")
    if spec in ("folder", "npz", "python"):
        ask = {"folder": "folder:PATH", "npz": "npz:FILE", "python": "package.module:factory"}[spec]
        raise LandscapeError(
            f"{path} was trained on data of your own, whose place it does not store; give --data {ask}"
        )
    return str(spec)


def _held_out(checkpoint: Checkpoint | None) -> int:
    """Return how many training examples the checkpoint's training held out: its train split lacks them."""
    recorded = checkpoint.data.get("hold_out") if checkpoint else None
    return int(recorded["examples"]) if recorded else 0


def _fitted(dataset: Dataset, checkpoint: Checkpoint | None, options: AnalysisOptions, label: str) -> Dataset:
    """Return the data normalized as the checkpoint was trained, having checked that it fits.

    Another shape or class count is refused; other pixels are warned about.
    """
    if checkpoint is None:
        return dataset
    recorded = checkpoint.data
    shape = tuple(recorded.get("input_shape") or dataset.input_shape)
    if shape != dataset.input_shape:
        raise LandscapeError(
            f"{label} was trained on inputs of shape {shape}, the data has {dataset.input_shape}; use other --data"
        )
    classes = recorded.get("classes") or dataset.classes
    if len(classes) != len(dataset.classes):
        raise LandscapeError(
            f"{label} was trained on {len(classes)} classes, the data has {len(dataset.classes)}; use other --data"
        )
    prints = recorded.get("fingerprints") or {}
    changed = [s for s in dataset.splits if s in prints and prints[s] != dataset.fingerprint(s)]
    if changed:
        console.warn(f"{label} was trained on other examples: the {' and '.join(changed)} data's fingerprint differs")
    if options.mean is not None or options.no_normalize or not dataset.is_images:
        return dataset
    mean, std = recorded.get("mean"), recorded.get("std")
    if mean is None or std is None:
        return dataclasses.replace(dataset, mean=None, std=None)
    normalization = recorded.get("normalization", "stated")
    return dataclasses.replace(dataset, mean=tuple(mean), std=tuple(std), normalization=normalization)
