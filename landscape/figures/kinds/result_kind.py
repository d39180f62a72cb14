"""Contract of a kind of result: everything that figures, the page and exports show of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import plotly.graph_objects as go

from landscape.figures.blocks.alternatives import PageBlock
from landscape.results import Result

Columns: TypeAlias = Mapping[str, Any]  # name → values, all of one length
Blocks: TypeAlias = Callable[[Mapping[str, Result], Mapping[str, int]], Sequence[PageBlock]]
R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class ResultKind(Generic[R]):
    """A kind of result.

    A new kind is one file that states its `KIND`, and its entry in `landscape.figures.kinds.registry`; from outside
    the package, `register` it.
    """

    result: type[R]  # the dataclass
    figure: Callable[..., go.Figure]  # of results by label; takes `title`, `dark` and options of its own
    section: str  # of the page; sections that the page does not know follow those that it does
    blocks: Blocks  # of the section, from all results by key and the colours by checkpoint
    describe: Callable[[R], str]  # the measurement in one phrase, for the provenance
    table: Callable[[R], Columns]  # one row per observation, for CSV
    caption: Callable[[Mapping[str, R]], str] | None = None  # of an image of results by label
