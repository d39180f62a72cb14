"""Headings from what was measured: the directions, the operator and the examples, not the result's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from landscape.figures.grouping.comparability import listed
from landscape.results import LineResult, Result, SampledPlane

_LINES = {
    "random": "Along a random direction",
    "eigenvectors": "Along an eigenvector of the Hessian",
    "gradient": "Along the gradient",
    "user": "Along a given direction",
}
_PLANES = {
    "random": "Along two random directions",
    "eigenvectors": "Along eigenvectors of the Hessian",
    "gradient": "Along the gradient and a second direction",
    "pca": "On the plane of the training trajectory",
    "three": "On the plane through three checkpoints",
    "user": "Along given directions",
}
_MATRICES = {"ggn": "the Gauss-Newton matrix", "fisher": "the Fisher matrix"}
BATCHNORM_MODES = {
    "fixed": "Fixed",
    "recalibrated": "Re-estimated at each point",
    "batch": "Of each batch",
}


def line_heading(lines: Sequence[LineResult]) -> str:
    """Return a heading for lines around checkpoints, such as "Along 10 random directions"."""
    kind = _kind(lines[0])
    count = len({str(_directions(line).get("seed")) for line in lines})
    return f"Along {count} random directions" if kind == "random" and count > 1 else _LINES.get(kind, "")


def plane_heading(planes: Iterable[SampledPlane]) -> str:
    """Return a heading for planes; empty if their directions are of different or unknown kinds."""
    kinds = {_kind(plane) for plane in planes}
    return _PLANES.get(kinds.pop(), "") if len(kinds) == 1 else ""


def matrix_text(results: Iterable[Result]) -> str:
    """Return " of the Gauss-Newton matrix"; empty for the Hessian."""
    matrices = {str(result.attributes.get("operator") or "") for result in results}
    named = sorted(_MATRICES[matrix] for matrix in matrices if matrix in _MATRICES)
    return f" of {listed(named)}" if named else ""


def sample_text(results: Iterable[Result]) -> str:
    """Return "5,000 examples", those of the first split; empty if it is not recorded."""
    counts = sorted({_examples(result) for result in results})
    return f"{listed([f'{count:,}' for count in counts])} examples" if counts and all(counts) else ""


def largest_sample(groups: Sequence[Iterable[Result]]) -> int:
    """Return the position of the group that was measured on the most examples, the first of several."""
    sizes = [max((_examples(result) for result in group), default=0) for group in groups]
    return sizes.index(max(sizes)) if sizes else 0


def with_sample(heading: str, results: Iterable[Result]) -> str:
    """Return a heading with the number of examples in parentheses if it is recorded.

    >>> with_sample("Largest eigenvalues", [])
    'Largest eigenvalues'
    """
    sample = sample_text(results)
    return f"{heading} ({sample})" if sample else heading


def distinct(texts: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the texts, those that are empty or occur twice with the name of their result.

    >>> distinct(["1,000 examples", "1,000 examples", "5,000 examples"], ["hessian", "density", "more"])
    ['1,000 examples · hessian', '1,000 examples · density', '5,000 examples']
    """
    return [
        text if text and texts.count(text) == 1 else " · ".join(filter(None, (text, name)))
        for text, name in zip(texts, names, strict=True)
    ]


def _examples(result: Result) -> int:
    counted = result.attributes.get("examples")
    return int(next(iter(counted.values()))) if isinstance(counted, Mapping) and counted else 0


def _directions(result: Result) -> Mapping[str, Any]:
    directions = result.attributes.get("directions")
    return directions if isinstance(directions, Mapping) else {}


def _kind(result: Result) -> str:
    return str(_directions(result).get("kind") or "")
