"""Training of a Bézier curve's control point for a low loss along the whole curve (Garipov et al. 2018)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.analysis.connectivity.bezier import Curve, curve_through
from landscape.analysis.objective import derivatives
from landscape.analysis.objective.data.nested import Nested, count_examples, map_tensors, working_copy
from landscape.analysis.objective.model.batchnorm import batch_norms
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.precision import full_float32
from landscape.analysis.objective.weights import Weights, displaced
from landscape.analysis.planes.between import difference
from landscape.errors import LandscapeError
from landscape.seeding import seeded_generator

Batch = tuple[Nested, Nested, int]


@dataclass(frozen=True)
class CurveSettings:
    """Settings of the training of a curve's control point by Adam.

    Args:
        steps: number of steps of the whole training.
        batch_size: examples of a step if the data are tensors; given batches are used whole.
        learning_rate: at the first step; it decays to 0 by a cosine.
        seed: of the order of examples and of t.

    Raises:
        LandscapeError: for settings that are not positive.
    """

    steps: int = 2000
    batch_size: int = 128
    learning_rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or not 0 < self.learning_rate < math.inf:
            raise LandscapeError(
                f"got {self.steps} steps, a batch of {self.batch_size} and a learning rate of {self.learning_rate}; "
                "expected all of them positive"
            )


class CurveTraining:
    """Adam on E_t L(φ(t)), t ~ U(0, 1), over the control point, which starts at the midpoint of the straight line.

    A step takes one mini-batch and one t (arXiv:1802.10026, section 3.2); the learning rate decays to 0 by a cosine.
    BatchNorm uses the statistics of the mini-batch, as in training. Mini-batch and t depend on the seed and the number
    of the step alone, so that a resumed run ends at the same weights as an uninterrupted one.

    Args:
        objective: end at t = 0, loss and training data.
        other: state dict of the end at t = 1.
        settings: steps, batch size, learning rate and seed.
        split: the first by default.
        batch_at: returns (inputs, targets) of a step's mini-batch by the step's number, in place of the split's
            examples: augmented ones if the training augmented, since BatchNorm's statistics are those of mini-batches.

    Attributes:
        losses: loss of each step's mini-batch at its t.
        whole: False if a step was interrupted half way; training cannot be resumed from `state` then.

    Raises:
        LandscapeError: for a state of another model.
    """

    def __init__(
        self,
        objective: Objective,
        other: Mapping[str, Tensor],
        settings: CurveSettings,
        *,
        split: str | None = None,
        batch_at: Callable[[int], tuple[Nested, Nested]] | None = None,
    ) -> None:
        self.objective, self.settings = objective, settings
        self.losses: list[float] = []
        self.whole = True
        self._other = other
        self._split = split or objective.splits[0]
        self._size = min(settings.batch_size, objective.data[self._split].examples)
        self._line = difference(objective.origin, other)
        self._control = displaced(objective.origin, [(0.5, self._line)])
        self._optimizer = torch.optim.Adam(list(self._control.values()))
        self._batch_at = batch_at
        self._batches: Iterator[Batch] | None = None

    @property
    def done(self) -> int:
        """Number of steps taken."""
        return len(self.losses)

    @property
    def curve(self) -> Curve:
        """The curve after the steps taken so far."""
        return curve_through(self.objective, {**self._other}, self._control)

    def step(self) -> float:
        """Take one step; return the loss of its mini-batch at its t.

        Raises:
            LandscapeError: if that loss is not finite.
        """
        settings = self.settings
        if self._batches is None:
            self._batches = self._examples(self.done)
        t = float(seeded_generator("curve", settings.seed, "t", self.done).uniform())
        slope = 2 * t * (1 - t)  # dφ/dθ
        straight = displaced(self.objective.origin, [(t, self._line)])
        middle = displaced(self.objective.origin, [(0.5, self._line)])
        point = {name: w + slope * (self._control[name] - middle[name]) for name, w in straight.items()}
        loss, gradient = self._gradient(point, next(self._batches))
        if not math.isfinite(loss):
            raise LandscapeError(f"the loss on the curve became {loss} in step {self.done}; take a lower learning rate")
        for name, w in self._control.items():
            w.grad = slope * gradient[name]
        for group in self._optimizer.param_groups:
            group["lr"] = 0.5 * settings.learning_rate * (1 + math.cos(math.pi * self.done / settings.steps))
        self.whole = False  # an interruption from here on leaves only some weights updated
        self._optimizer.step()
        self.losses.append(loss)
        self.whole = True
        return loss

    def state(self) -> dict[str, Tensor]:
        """Return the state that `restore` resumes from: control point, Adam's moments, losses so far."""
        state = {f"control/{name}": w.detach() for name, w in self._control.items()}
        for name, w in self._control.items():
            state |= {f"{moment}/{name}": value for moment, value in self._optimizer.state[w].items()}
        return {**state, "losses": torch.tensor(self.losses, dtype=torch.float64)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Resume from the `state` of a run with the same settings."""
        self.losses = state["losses"].tolist()
        self._batches = None
        for name, w in self._control.items():
            w.copy_(state[f"control/{name}"])
            moments = ("step", "exp_avg", "exp_avg_sq") if self.done else ()
            values = {moment: state[f"{moment}/{name}"] for moment in moments}
            self._optimizer.state[w] = {
                moment: value.clone() if moment == "step" else value.to(w, copy=True)
                for moment, value in values.items()
            }

    def _gradient(self, point: Weights, batch: Batch) -> tuple[float, Weights]:
        """Return the mean loss of a mini-batch and its gradient, with BatchNorm's statistics of that mini-batch."""
        inputs, targets, count = batch
        network = self.objective.network
        fixed = {n: p.detach() for n, p in network.module.named_parameters() if n not in point}
        buffers = {
            name: buffer.clone() for name, buffer in network.buffers.items()
        }  # the forward pass updates running statistics

        def loss(moving: Weights) -> Tensor:
            outputs = network.run({**fixed, **buffers, **moving}, inputs)
            return self.objective.loss_values(outputs, targets, count, self._split).mean()

        with full_float32(), batch_norms(network.module).training():
            value, gradient = derivatives.gradient(loss, point)
        return float(value), gradient

    def _examples(self, start: int) -> Iterator[Batch]:
        """Yield the mini-batches from this step on: reshuffled in every epoch; given batches in their order."""
        data, dtype = self.objective.data[self._split], self.objective.dtype
        if self._batch_at is not None:
            for step in itertools.count(start):
                given = map_tensors(lambda tensor: tensor.to(self.objective.device), self._batch_at(step))
                yield map_tensors(lambda t: working_copy(t, dtype), given[0]), given[1], count_examples(given[1])
        if not data.sizes_are_free:
            skip = start % sum(1 for _ in self.objective.batches(self._split))
            for inputs, targets, count in itertools.islice(self._cycle(), skip, None):
                yield map_tensors(torch.clone, inputs), targets, count
        epochs = data.examples // self._size
        for step in itertools.count(start):
            order = seeded_generator("curve", self.settings.seed, "order", step // epochs).permutation(data.examples)
            first = step % epochs * self._size
            yield from data.take(order[first : first + self._size]).iterate(self._size, dtype)

    def _cycle(self) -> Iterator[Batch]:
        while True:
            yield from self.objective.batches(self._split)


def train_curve(
    objective: Objective,
    other: Mapping[str, Tensor],
    *,
    steps: int = 2000,
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    seed: int = 0,
    split: str | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Curve:
    """Train a Bézier curve of low loss from the objective's weights to another state dict, see `CurveTraining`.

    Measure the loss on it with `landscape.surface(objective, curve)`; the objective's BatchNorm should be recalibrated.

    >>> import torch, landscape
    >>> model, other = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    >>> objective = landscape.Objective(model, "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> curve = landscape.train_curve(objective, other.state_dict(), steps=5)
    >>> torch.allclose(curve.at(1.0)["weight"], other.weight)
    True

    Args:
        objective: end at t = 0, loss and training data.
        other: state dict of the end at t = 1.
        steps: number of steps of Adam.
        batch_size: examples of a step.
        learning_rate: at the first step.
        seed: of the order of examples and of t.
        split: the first by default.
        on_step: called after each step with the number of steps taken and the step's loss.

    Returns:
        The trained curve, which is also a plane to measure on.

    Raises:
        LandscapeError: for settings that are not positive, another model's state, or a loss that diverges.
    """
    settings = CurveSettings(steps, batch_size, learning_rate, seed)
    training = CurveTraining(objective, other, settings, split=split)
    for _ in range(steps):
        loss = training.step()
        if on_step is not None:
            on_step(training.done, loss)
    return training.curve
