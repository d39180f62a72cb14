"""Training a Bézier curve's control point for a low loss all along it (Garipov et al. 2018)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from landscape.analysis.connectivity.bezier import Curve, curve_through
from landscape.analysis.objective import derivatives
from landscape.analysis.objective.data.nested import Nested, count_examples, map_tensors, working_copy
from landscape.analysis.objective.model.batchnorm import batch_norms
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.precision import full_float32
from landscape.analysis.objective.weights import Weights, moved
from landscape.analysis.planes.between import difference
from landscape.errors import LandscapeError
from landscape.seeding import seeded_generator

STEPS = 2000
BATCH_SIZE = 128
LEARNING_RATE = 3e-3

Batch = tuple[Nested, Nested, int]


class CurveTraining:
    """Steps of Adam on E_t L(φ(t)), t ~ U(0, 1), over the control point, from the middle of the straight line.

    A step takes one mini-batch and one t (arXiv:1802.10026, section 3.2); the learning rate falls to 0 by a cosine.
    BatchNorm takes the statistics of the mini-batch, as in training. What a step sees depends on the seed and the
    step's number alone, so that a run that goes on from a kept state ends where an undisturbed one does.

    Args:
        objective: one end (t = 0); its loss and data are what is trained on.
        other: state dict of the other end.
        steps: of the whole training.
        batch_size: examples of a step, where the data are tensors; ready batches come as they are.
        learning_rate: at the start.
        seed: of the order of examples and of t.
        split: the first by default.
        batch_at: (inputs, targets) of a step's mini-batch by the step's number, instead of the split's examples as they
            are: where training augmented, augmented ones, as BatchNorm's statistics are those of the mini-batch.

    Attributes:
        done: number of steps taken.
        losses: of each step's mini-batch at its t.
        whole: False where a step was interrupted half way: `state` is then none to go on from.

    Raises:
        LandscapeError: for settings that cannot be, or a state of another model.
    """

    def __init__(
        self,
        objective: Objective,
        other: Mapping[str, Tensor],
        *,
        steps: int = STEPS,
        batch_size: int = BATCH_SIZE,
        learning_rate: float = LEARNING_RATE,
        seed: int = 0,
        split: str | None = None,
        batch_at: Callable[[int], tuple[Nested, Nested]] | None = None,
    ) -> None:
        if steps < 1 or batch_size < 1 or not 0 < learning_rate < math.inf:
            raise LandscapeError(
                f"got {steps} steps, a batch of {batch_size} and a learning rate of {learning_rate}; "
                "expected all of them positive"
            )
        self.objective, self.steps, self.seed = objective, steps, seed
        self.losses: list[float] = []
        self.whole = True
        self._rate, self._other = learning_rate, other
        self._split = split or objective.splits[0]
        self._size = min(batch_size, objective.data[self._split].examples)
        self._line = difference(objective.origin, other)
        self._control = moved(objective.origin, [(0.5, self._line)])
        self._optimizer = torch.optim.Adam(list(self._control.values()))
        self._batch_at = batch_at
        self._batches: Iterator[Batch] | None = None

    @property
    def done(self) -> int:
        """Number of steps taken."""
        return len(self.losses)

    @property
    def curve(self) -> Curve:
        """The curve as it stands."""
        return curve_through(self.objective, {**self._other}, self._control)

    def step(self) -> float:
        """Take one step; return the loss of its mini-batch at its t.

        Raises:
            LandscapeError: where that loss is not finite.
        """
        if self._batches is None:
            self._batches = self._examples(self.done)
        t = float(seeded_generator("curve", self.seed, "t", self.done).uniform())
        share = 2 * t * (1 - t)  # dφ/dθ
        straight = moved(self.objective.origin, [(t, self._line)])
        middle = moved(self.objective.origin, [(0.5, self._line)])
        point = {name: w + share * (self._control[name] - middle[name]) for name, w in straight.items()}
        loss, gradient = self._gradient(point, next(self._batches))
        if not math.isfinite(loss):
            raise LandscapeError(f"the loss on the curve became {loss} in step {self.done}; take a lower learning rate")
        for name, w in self._control.items():
            w.grad = share * gradient[name]
        for group in self._optimizer.param_groups:
            group["lr"] = 0.5 * self._rate * (1 + math.cos(math.pi * self.done / self.steps))
        self.whole = False  # an interruption from here on leaves some weights ahead of others
        self._optimizer.step()
        self.losses.append(loss)
        self.whole = True
        return loss

    def state(self) -> dict[str, Tensor]:
        """Return all that `restore` needs to go on: the control point, Adam's moments, the losses so far."""
        kept = {f"control/{name}": w.detach() for name, w in self._control.items()}
        for name, w in self._control.items():
            kept |= {f"{what}/{name}": value for what, value in self._optimizer.state[w].items()}
        return {**kept, "losses": torch.tensor(self.losses, dtype=torch.float64)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned in a run with the same settings."""
        self.losses = state["losses"].tolist()
        self._batches = None
        for name, w in self._control.items():
            w.copy_(state[f"control/{name}"])
            moments = {what: state[f"{what}/{name}"] for what in ("step", "exp_avg", "exp_avg_sq")} if self.done else {}
            self._optimizer.state[w] = {
                what: value.clone() if what == "step" else value.to(w, copy=True) for what, value in moments.items()
            }

    def _gradient(self, point: Weights, batch: Batch) -> tuple[float, Weights]:
        """Return the mean loss of a mini-batch and its gradient, through BatchNorm's statistics of that mini-batch."""
        inputs, targets, count = batch
        network = self.objective.network
        still = {n: p.detach() for n, p in network.module.named_parameters() if n not in point}
        buffers = {name: buffer.clone() for name, buffer in network.buffers.items()}  # running statistics are written

        def loss(moving: Weights) -> Tensor:
            outputs = network.run({**still, **buffers, **moving}, inputs)
            return self.objective.loss_values(outputs, targets, count, self._split).mean()

        with full_float32(), batch_norms(network.module).training():
            value, gradient = derivatives.gradient(loss, point)
        return float(value), gradient

    def _examples(self, start: int) -> Iterator[Batch]:
        """Yield the mini-batches from this step on: shuffled anew in every epoch; others as they come."""
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
            order = seeded_generator("curve", self.seed, "order", step // epochs).permutation(data.examples)
            place = step % epochs * self._size
            yield from data.take(order[place : place + self._size]).iterate(self._size, dtype)

    def _cycle(self) -> Iterator[Batch]:
        while True:
            yield from self.objective.batches(self._split)


def train_curve(
    objective: Objective,
    other: Mapping[str, Tensor],
    *,
    steps: int = STEPS,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = LEARNING_RATE,
    seed: int = 0,
    split: str | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Curve:
    """Return a curve of low loss from the objective's weights to another state dict, trained as by `CurveTraining`.

    Measure it with `landscape.surface(objective, curve)`, on an objective whose BatchNorm is recalibrated.

    Args:
        objective: one end, and the loss and data to train on.
        other: state dict of the other end.
        steps: of Adam.
        batch_size: examples of a step.
        learning_rate: at the start.
        seed: of the order of examples and of t.
        split: the first by default.
        on_step: called after each step with the steps done and the step's loss.
    """
    training = CurveTraining(
        objective, other, steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed, split=split
    )
    for _ in range(steps):
        loss = training.step()
        if on_step is not None:
            on_step(training.done, loss)
    return training.curve
