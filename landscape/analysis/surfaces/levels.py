"""Nested, class-stratified subsets of an objective's examples, and passes over them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from landscape.analysis.objective.data.nested import Nested
from landscape.analysis.objective.objective import DTYPES, Objective, Precision
from landscape.analysis.objective.precision import full_float32
from landscape.analysis.surfaces.multilevel.scheme import Scheme
from landscape.data.subset import stratified_subset
from landscape.errors import LandscapeError
from landscape.execution.threads import map_batches
from landscape.stats.mean import Mean


@dataclass(frozen=True)
class Level:
    """A subset of each split, on the device.

    Attributes:
        objective: loss on these examples.
        groups: (n,) index of the class, and of the half, of each example, by split.
        classes: number of classes, by split.
    """

    objective: Objective
    groups: Mapping[str, Tensor]
    classes: Mapping[str, int]


class Levels:
    """Nested subsets of a scheme, finest first; the last, half of the cheapest, is measured with it.

    Args:
        objective: on all the examples.
        scheme: sizes of the subsets.
        seed: of the subsets.

    Raises:
        LandscapeError: if the objective's loss on subsets differs from that on all the examples, see `check_subsets`.
    """

    def __init__(self, objective: Objective, scheme: Scheme, *, seed: int) -> None:
        check_subsets(objective)
        self.scheme, self.seed = scheme, seed
        self._levels = {
            level: self._level(objective, level, half=level == scheme.base, seed=seed)
            for level in range(1, scheme.base + 1)
        }

    def _level(self, objective: Objective, level: int, *, half: bool, seed: int) -> Level:
        data, groups, classes = {}, {}, {}
        for split, sizes in self.scheme.sizes.items():
            batches = objective.data[split]
            labels = batches.labels()
            chosen = stratified_subset(labels, sizes[level], seed)
            codes = torch.unique(labels, return_inverse=True)[1][chosen]
            classes[split] = int(codes.max()) + 1
            if half:
                in_half = torch.isin(chosen, stratified_subset(labels, sizes[level + 1], seed))
                codes = codes + classes[split] * (~in_half).long()
            data[split] = batches.take(chosen.numpy())
            groups[split] = codes.to(objective.device)
        return Level(objective.variant(data=data), groups, classes)

    def objective(self, level: int) -> Objective:
        """Return the objective on a level's examples (an index, 1 or higher)."""
        return self._levels[level].objective

    def sums(
        self,
        level: int,
        weights: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor] | None,
        precision: Precision,
        batch_size: int,
    ) -> dict[str, Tensor]:
        """Return (G, M, 3) sums, sums of squares and counts per group and metric, by split, without synchronizing."""
        subset = self._levels[level]
        objective = subset.objective
        exact = torch.float64 if objective.device.type != "mps" else torch.float32
        dtype = DTYPES[precision]
        table = {}
        with torch.no_grad(), full_float32():
            forward = objective.network.forward(weights, buffers, dtype)

            def moments(split: str, indexed: tuple[int, tuple[Nested, Nested, int]]) -> tuple[Tensor, int]:
                """Return the (B, M, 3) value, square and 1 of each example and metric."""
                index, (inputs, targets, count) = indexed
                with torch.no_grad():
                    columns = []
                    for values, _, single in objective.metric_values(forward(inputs, index), targets, count, split):
                        x = values.to(exact)
                        columns.append(torch.stack([x, x.square() if single else x * torch.nan, torch.ones_like(x)], 1))
                    return torch.stack(columns, dim=1), count

            for split, groups in subset.groups.items():
                total = torch.zeros(2 * subset.classes[split], len(objective.metrics), 3, dtype=exact)
                total = total.to(objective.device)
                seen = 0
                batches = enumerate(objective.data[split].iterate(batch_size, dtype))
                work = partial(moments, split)
                for part, count in map_batches(work, batches, objective.device, limit=objective.parallel_batches):
                    total.index_add_(0, groups[seen : seen + count], part)
                    seen += count
                table[split] = total
        return table

    def estimates(self, level: int, split: str, sums: Tensor) -> list[list[Mean]]:
        """Return the means of a pass by metric, followed by those of its half if the level has one."""
        classes = self._levels[level].classes[split]
        first, second = sums[:classes], sums[classes:]
        tables = [first + second, first] if level == self.scheme.base else [first]
        return [[stratified_estimate(metric) for metric in table.unbind(1)] for table in tables]


def check_subsets(objective: Objective) -> None:
    """Check that the mean loss over a subset estimates that over all the examples.

    Raises:
        LandscapeError: for losses of whole batches, or that depend on batch statistics.
    """
    if objective.batchnorm == "batch":
        raise LandscapeError(
            "a tolerance compares subsets of the examples, but with batchnorm='batch' the loss depends on the batches; "
            "use 'fixed' or 'recalibrated', or no tolerance"
        )
    if not objective.has_per_example_loss:
        raise LandscapeError(
            f"a tolerance needs the spread of the loss over the examples, but {objective.loss_name} gives one mean per "
            "batch; return one value per example, or ask for no tolerance"
        )


def stratified_estimate(sums: Tensor) -> Mean:
    """Return mean and standard error of a stratified sample from (C, 3) sums, squares and counts per class.

    The squared error is Σ (n_c/n)² s_c²/n_c ≈ s²/n with the pooled variance s² within classes, since a class may have
    one example (Cochran 1977, Sampling Techniques, section 5.4). Classes of one example are collapsed into one stratum
    (section 5A.12): the choice among rare classes is random, so that the spread between them counts.

    >>> stratified_estimate(torch.tensor([[2.0, 2.0, 2.0], [6.0, 18.0, 2.0]])).value
    2.0
    """
    sums = _collapsed(sums)
    total, squares, counts = sums[:, 0], sums[:, 1], sums[:, 2]
    n, present = float(counts.sum()), int((counts > 0).sum())
    mean = float(total.sum()) / n
    if n > present:
        within, freedom = float((squares - total.square() / counts.clamp_min(1)).clamp_min(0).sum()), n - present
    else:  # no class has two examples: the spread includes that between classes
        within, freedom = max(float(squares.sum()) - mean * mean * n, 0.0), n - 1
    stderr = (within / freedom / n) ** 0.5 if freedom > 0 and math.isfinite(within) else float("nan")
    return Mean(mean, stderr, int(n))


def _collapsed(sums: Tensor) -> Tensor:
    """Return (C', 3) sums with all classes of one example merged."""
    single = sums[:, 2] == 1
    return torch.cat([sums[~single], sums[single].sum(0, keepdim=True)])
