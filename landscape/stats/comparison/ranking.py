"""The order of checkpoints by a measure, with differences from the flattest."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from landscape.results import Attributes, MeasureResult, SharpnessResult
from landscape.stats.comparison.difference import CLEAR, Difference, Estimate, Samples, difference

CLEARLY = f"by more than {CLEAR:g} standard errors of the difference, or than the bounds"
SAME_EXAMPLES = ("splits", "examples", "subset", "subset_seed")  # attributes that identify the examples measured


@dataclass(frozen=True)
class RankedMeasure:
    """The rank of one checkpoint by one measure."""

    checkpoint: str
    estimate: Estimate
    rank: int  # 1 is the flattest
    above: Difference  # this checkpoint − the flattest; 0 for the flattest itself


def rank(estimates: Mapping[str, Estimate]) -> list[RankedMeasure]:
    """Return checkpoints from flattest to sharpest, NaN last.

    >>> [ranked.checkpoint for ranked in rank({"a": Estimate(2.0), "b": Estimate(1.0)})]
    ['b', 'a']
    """
    order = sorted(estimates, key=lambda name: (math.isnan(estimates[name].value), estimates[name].value))
    flattest = estimates[order[0]] if order else Estimate(math.nan)
    return [
        RankedMeasure(
            name,
            estimates[name],
            position,
            difference(flattest, estimates[name]) if position > 1 else Difference(0.0, 0.0, 0.0),
        )
        for position, name in enumerate(order, start=1)
    ]


@dataclass(frozen=True)
class Tally:
    """The number of measures by which a checkpoint is flattest."""

    checkpoint: str
    flattest: int
    clearly: int  # of them, by more than the uncertainty of the difference from the second
    measures: int  # that were compared

    @property
    def text(self) -> str:
        """The count in words."""
        return (
            f"{self.checkpoint} is flattest by {self.flattest} of {self.measures} measures, clearly by {self.clearly} "
            "of them"
        )


def tally(rankings: Iterable[Sequence[RankedMeasure]]) -> list[Tally]:
    """Count the measures by which each checkpoint is flattest, largest count first; those with none have no entry.

    Args:
        rankings: of each measure, flattest first; one of fewer than two finite numbers compares nothing.

    >>> known, unknown = ({"a": Estimate(1.0, error), "b": Estimate(2.0, error)} for error in (0.1, math.nan))
    >>> tally([rank(known), rank(unknown)])
    [Tally(checkpoint='a', flattest=2, clearly=1, measures=2)]
    """
    compared = [ranked for ranked in rankings if len(ranked) > 1 and not math.isnan(ranked[1].estimate.value)]
    names = dict.fromkeys(ranked[0].checkpoint for ranked in compared)
    tallies = [
        Tally(name, len(first), sum(ranked[1].above.clear for ranked in first), len(compared))
        for name in names
        for first in [[ranked for ranked in compared if ranked[0].checkpoint == name]]
    ]
    return sorted(tallies, key=lambda one: -one.flattest)


def rank_by_measure(results: Mapping[str, SharpnessResult]) -> dict[str, list[RankedMeasure]]:
    """Return the ranking by the label of every measure that any checkpoint has.

    Args:
        results: sharpness measures by checkpoint label.
    """
    estimates: dict[str, dict[str, Estimate]] = {}
    for name, result in results.items():
        for measure in result.measures:
            estimates.setdefault(measure.label, {}).setdefault(name, measure_estimate(measure, result.attributes))
    return {label: rank(by_checkpoint) for label, by_checkpoint in estimates.items()}


def measure_estimate(measure: MeasureResult, attributes: Attributes) -> Estimate:
    """Return a sharpness measure as an estimate, with the group means that pairing needs if its result stores them.

    Args:
        measure: one of a `Sharpness` result.
        attributes: of that result: the examples measured.
    """
    diagnostics = measure.diagnostics
    samples = None
    if diagnostics.get("samples"):
        samples = Samples(diagnostics["samples"], int(diagnostics["count"]), _sample_key(measure, attributes))
    return Estimate(measure.value, measure.stderr, float(diagnostics.get("bound", math.nan)), samples)


def _sample_key(measure: MeasureResult, attributes: Attributes) -> str:
    """Return a key, the same for two samples if they are over the same examples, with the same random numbers."""
    data = attributes.get("data")
    prints = data.get("fingerprints") if isinstance(data, Mapping) else None
    examples = [attributes.get(name) for name in SAME_EXAMPLES]
    key = [measure.diagnostics.get("unit"), dict(measure.parameters), examples, prints]
    return json.dumps(key, sort_keys=True, default=str)
