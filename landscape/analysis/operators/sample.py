"""The objective on a few examples, in another precision."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from landscape.analysis.objective.data.batches import Batches
from landscape.analysis.objective.data.nested import map_tensors, tensors
from landscape.analysis.objective.model.model_copy import deep_copy
from landscape.analysis.objective.objective import Objective, Precision

_samples: WeakKeyDictionary[Batches, dict[int, Batches]] = WeakKeyDictionary()


def few_examples(
    objective: Objective,
    precision: Precision,
    split: str | None,
    examples: int,
    *,
    fold: bool | None = None,
    random: bool = True,
) -> Objective:
    """Return the same loss at the same weights on a few examples of a split, always the same ones.

    Args:
        objective: loss and weights.
        precision: "float64" or "float32".
        split: of the data; the first by default.
        examples: maximum number; a whole batch if batches cannot be cut along the examples.
        fold: fold BatchNorm; as in the objective by default.
        random: draw from the whole split (sorted data begin with one class) rather than take the first ones.

    Raises:
        LandscapeError: if the model or the loss does not run in this precision.
    """
    model = deep_copy(objective.network.module)
    _, buffers = objective.network.point(None)
    model_buffers = dict(model.named_buffers())
    for name, buffer in buffers.items():
        model_buffers[name].copy_(buffer)
    if random:
        sample = _sample(objective.data[split or objective.splits[0]], examples)
        inputs, targets, count = next(sample.iterate(examples, objective.dtype))
    else:
        inputs, targets, count = next(objective.batches(split))
    batch = inputs if objective.is_joint else (inputs, targets)
    divisible = all(t.ndim > 0 and len(t) == count for t in tensors(batch))
    if divisible:
        batch = map_tensors(lambda t: t[:examples], batch)
    return Objective(
        model,
        objective.given_loss,
        {"train": batch if divisible else [batch]},
        params=objective.params,
        precision="float64" if precision == "float64" else "float32",
        device=objective.device,
        fold=objective.is_folded if fold is None else fold,
    )


def _sample(data: Batches, examples: int) -> Batches:
    """Return a random sample, drawn once: it costs a pass over a loader's examples."""
    samples = _samples.setdefault(data, {})
    if examples not in samples:
        samples[examples] = data.sample(examples)
    return samples[examples]
