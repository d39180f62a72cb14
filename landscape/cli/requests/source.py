"""From the options that say what is measured to the specifications that the workflow takes."""

from __future__ import annotations

from landscape.cli.options.analysis import (
    AnalysisOptions,
    DataOptions,
    ModelOptions,
    expect,
    json_object,
    normalization,
    subset_size,
)
from landscape.errors import LandscapeError
from landscape.workflow.sources.specs import DataSpec, ModelSpec, Sample


def model_spec(options: ModelOptions) -> ModelSpec:
    """Return the architecture of weight files."""
    return ModelSpec(options.model, json_object(options.model_args), options.weights_key)


def data_spec(options: DataOptions) -> DataSpec:
    """Return the data set.

    Raises:
        LandscapeError: for an impossible normalization.
    """
    mean, std, normalize = normalization(options.normalize)
    return DataSpec(options.data, options.image_size, mean, std, normalize)


def sample_of(options: AnalysisOptions) -> Sample:
    """Return the examples and the loss."""
    return Sample(
        options.splits, subset_size(options.subset), options.seed, options.loss, options.params, options.device
    )


def check_source(options: AnalysisOptions) -> None:
    """Refuse impossible options before anything is read or written.

    Raises:
        LandscapeError: naming the option.
    """
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
