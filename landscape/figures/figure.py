"""Any result as a Plotly figure: alone, or several of one kind compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from landscape.errors import LandscapeError
from landscape.figures.kinds.registry import kind_of
from landscape.figures.style.dark import to_dark
from landscape.results import Result


def figure(result: Result | Mapping[str, Result], **options: Any) -> go.Figure:
    """Return the figure of one result, titled with its checkpoint; or one figure of several results of one kind.

    Several share one scale and have one colour each.

    Args:
        result: Any result, or results of one kind by label.
        **options: Options of the kind's own function in `landscape.figures.plots`, such as `view="contour"` of
            surfaces or `metrics=["loss"]` of lines. `title` (text) and `dark` (bool) work for all.

    Raises:
        LandscapeError: There is nothing to draw, or the results are of different kinds.

    Example:
        >>> import numpy as np, landscape
        >>> from landscape.results import HistoryResult
        >>> run = HistoryResult({"epoch": np.arange(1.0, 4.0), "train_loss": np.array([2.0, 1.0, 0.5])})
        >>> landscape.figure(run).data[0].y.tolist()
        [2.0, 1.0, 0.5]
    """
    if isinstance(result, Mapping):
        return compare(result, **options)
    label = str(result.attributes.get("checkpoint", result.kind))
    return compare({label: result}, **({"title": label} | options))


def compare(results: Mapping[str, Result], **options: Any) -> go.Figure:
    """Return one figure of several results of one kind, by label.

    Raises:
        LandscapeError: There is nothing to draw, or the results are of different kinds.
    """
    kinds = {kind.result.kind: kind for kind in map(kind_of, results.values())}
    if len(kinds) != 1:
        names = ", ".join(sorted(kinds)) or "none"
        raise LandscapeError(f"expected results of one kind to compare, got {names}; compare each kind by itself")
    drawn: go.Figure = kinds.popitem()[1].figure(results, **options)
    return to_dark(drawn) if options.get("dark") else drawn
