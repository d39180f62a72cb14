"""From paths to loaded models: checkpoints, weight files, and the data they belong to."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from landscape.data import Dataset, hold_out, load_dataset
from landscape.errors import LandscapeError
from landscape.models.checkpoint import Checkpoint, is_checkpoint, load_checkpoint
from landscape.workflow.fingerprint import code_fingerprints
from landscape.workflow.reporter import Quiet, Reporter
from landscape.workflow.sources.loaded_model import LoadedModel
from landscape.workflow.sources.specs import DataSpec, ModelSpec, Sample
from landscape.workflow.sources.user_code import load_model


def load_models(
    paths: Sequence[Path],
    *,
    model: ModelSpec | None = None,
    data: DataSpec | None = None,
    sample: Sample | None = None,
    metrics: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> list[LoadedModel]:
    """Return checkpoints or weight files with their data.

    Args:
        paths: of the files.
        model: architecture of weight files.
        data: data set; by default what each checkpoint was trained on.
        sample: examples and loss to measure.
        metrics: `package.module:function` of further metrics, whose code is fingerprinted too.
        reporter: receives messages.

    Raises:
        LandscapeError: for anything unreadable, or data that does not fit a checkpoint.
    """
    model, data, sample, reporter = model or ModelSpec(), data or DataSpec(), sample or Sample(), reporter or Quiet()
    datasets: dict[tuple[str, int], Dataset] = {}
    loaded = []
    for path, label in zip(paths, labels_of(paths), strict=True):
        checkpoint = load_checkpoint(path) if model.name is None or is_checkpoint(path) else None
        spec = _data_spec(data, path, checkpoint)
        try:
            network, notes = load_model(model, path, checkpoint)
        except LandscapeError as error:
            raise error if str(path) in str(error) else LandscapeError(f"{path}: {error}") from error
        for note in notes:
            reporter.say(f"{path.name}: {note}")
        if (spec, 0) not in datasets:
            datasets[spec, 0] = read_data(data, spec)
            for note in datasets[spec, 0].notes:
                reporter.say(f"data: {note}")
        held_out = _held_out(checkpoint)
        if (spec, held_out) not in datasets:
            datasets[spec, held_out] = hold_out(datasets[spec, 0], held_out)
        dataset = _fitted(datasets[spec, held_out], checkpoint, data, label, reporter)
        unknown = [split for split in sample.splits if split not in dataset.splits]
        if unknown:
            raise LandscapeError(f"no split {unknown[0]!r} in the data; it has {', '.join(dataset.splits)}")
        if checkpoint is None and dataset.is_images and dataset.normalization == "measured":
            raise LandscapeError(
                "the normalization that these weights were trained with is not known; "
                "give --normalize MEAN/STD, or --normalize none"
            )
        code = code_fingerprints([model.name, sample.loss, data.spec, *metrics])  # imported by now
        loaded.append(
            LoadedModel(label, path, network, dataset, checkpoint, sample, model, code, tuple(notes), reporter)
        )
    return loaded


def read_data(data: DataSpec, spec: str) -> Dataset:
    """Return the data set of a specification."""
    return load_dataset(
        spec,
        image_size=data.image_size,
        mean=data.mean,
        std=data.std,
        normalize=None if data.normalize else False,
    )


def changed_splits(dataset: Dataset, checkpoint: Checkpoint) -> list[str]:
    """Return the splits whose examples are not those that a checkpoint's training recorded."""
    recorded = checkpoint.data.get("fingerprints") or {}
    return [
        split
        for split in dataset.splits
        if recorded.get(split, dataset.fingerprint(split)) != dataset.fingerprint(split)
    ]


def labels_of(paths: Sequence[Path]) -> list[str]:
    """Return the stems of the files; for equal stems, with their folders' names.

    Raises:
        LandscapeError: for a file that is given twice.
    """
    counts = Counter(path.stem for path in paths)
    names = [path.stem if counts[path.stem] == 1 else f"{path.resolve().parent.name}-{path.stem}" for path in paths]
    # A label can be printed, and names a group of an HDF5 file and a file.
    labels = ["".join(c if c.isprintable() and c not in '\\/:*?"<>|' else "_" for c in name) for name in names]
    labels = [label if label.strip(".") else f"_{label}" for label in labels]
    if len(set(labels)) < len(labels):
        twice = next(str(path) for path, label in zip(paths, labels, strict=True) if labels.count(label) > 1)
        raise LandscapeError(f"{twice} is named twice, or shares its name with another; rename one of the files")
    return labels


def _data_spec(data: DataSpec, path: Path, checkpoint: Checkpoint | None) -> str:
    if data.spec is not None:
        return data.spec
    spec = checkpoint.data.get("spec") if checkpoint else None
    if spec is None:
        raise LandscapeError(f"{path} does not say which data it belongs to; give --data")
    if spec in ("folder", "npz", "python"):
        ask = {"folder": "folder:PATH", "npz": "npz:FILE", "python": "package.module:factory"}[spec]
        raise LandscapeError(f"{path} was trained on data of your own, whose path it does not store; give --data {ask}")
    return str(spec)


def _held_out(checkpoint: Checkpoint | None) -> int:
    """Return the number of training examples that the checkpoint's training held out."""
    recorded = checkpoint.data.get("hold_out") if checkpoint else None
    return int(recorded["examples"]) if recorded else 0


def _fitted(dataset: Dataset, checkpoint: Checkpoint | None, data: DataSpec, label: str, reporter: Reporter) -> Dataset:
    """Return the data normalized as the checkpoint was trained.

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
    if changed := changed_splits(dataset, checkpoint):
        reporter.warn(f"{label} was trained on other examples: the {' and '.join(changed)} data's fingerprint differs")
    if data.mean is not None or not data.normalize or not dataset.is_images:
        return dataset
    mean, std = recorded.get("mean"), recorded.get("std")
    if mean is None or std is None:
        return dataclasses.replace(dataset, mean=None, std=None)
    normalization = recorded.get("normalization", "stated")
    return dataclasses.replace(dataset, mean=tuple(mean), std=tuple(std), normalization=normalization)
