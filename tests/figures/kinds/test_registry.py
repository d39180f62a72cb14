"""The registry of result kinds: one from outside the package reaches figures, the page, exports and messages."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import plotly.graph_objects as go
import pytest
from cases import synthetic as make

import landscape
from landscape.errors import LandscapeError
from landscape.export.images.image_specs import ImageOptions, image_specs
from landscape.export.tables.csv_table import csv_bytes
from landscape.export.tables.npz_archive import npz_bytes
from landscape.figures.blocks.block import Block, Plot, result_keys, results_by_name, strip_layout
from landscape.figures.kinds import registry
from landscape.figures.kinds.result_kind import ResultKind
from landscape.figures.report.page import render_report
from landscape.figures.style import theme
from landscape.results import ConvexityResult, SurfaceResult


@dataclass(frozen=True)
class Noise:
    """Gradient noise over the batch size: a kind of result that the package does not know."""

    kind: ClassVar[str] = "noise"
    batch_size: np.ndarray
    variance: np.ndarray
    attributes: dict = field(default_factory=dict)


def noise_figure(results, *, title=None, dark=False):
    traces = [go.Scatter(x=r.batch_size, y=r.variance, name=label) for label, r in results.items()]
    return theme.apply_theme(go.Figure(traces), title=title, dark=dark)


def noise_blocks(results, colours):
    return [
        Block(
            f"noise-{index}",
            f"Noise · {name}",
            [Plot(f"noise-plot-{index}", "Gradient noise", {"": strip_layout(noise_figure(group))})],
            result_keys(name, list(group)),
        )
        for index, (name, group) in enumerate(results_by_name(results, Noise).items())
    ]


KIND = ResultKind(
    Noise,
    noise_figure,
    "Gradient noise",
    noise_blocks,
    lambda result: f"gradient noise at {len(result.batch_size)} batch sizes",
    lambda result: {"batch_size": result.batch_size, "variance": result.variance},
    caption=lambda results: f"{len(results)} checkpoints.",
)


@pytest.fixture
def noise():
    known = registry.KINDS.copy()
    registry.register(KIND)
    yield Noise(np.array([32, 64]), np.array([0.5, 0.25]), make.attributes("a"))
    registry.KINDS[:] = known


def test_a_kind_from_outside_has_a_figure_alone_and_compared(noise):
    alone = landscape.figure(noise)
    assert alone.layout.title.text == "a"
    assert alone.data[0].y.tolist() == [0.5, 0.25]
    assert [trace.name for trace in landscape.figure({"a": noise, "b": noise}, dark=True).data] == ["a", "b"]
    with pytest.raises(LandscapeError, match="one kind to compare, got history, noise"):
        landscape.figure({"a": noise, "b": make.history()})


def test_a_kind_from_outside_is_on_the_page_in_a_section_of_its_own(noise, monkeypatch):
    monkeypatch.setattr("landscape.figures.report.page.get_plotlyjs", lambda: "")
    page = render_report({"a/noise": noise, "a/history": make.history("a")})
    assert '<section id="gradient-noise">' in page
    assert page.index('<section id="training">') < page.index('<section id="gradient-noise">')
    assert "gradient noise at 2 batch sizes" in page
    assert '"noise-plot-0":' in page


def test_a_kind_from_outside_is_exported(noise):
    assert csv_bytes(noise) == b"batch_size,variance\n32,0.5\n64,0.25\n"
    assert npz_bytes(noise).startswith(b"PK")
    (image,) = image_specs({"a/noise": noise}, ImageOptions())
    assert (image.stem, image.notes) == ("a-noise", ["1 checkpoints."])


def test_an_unknown_kind_is_refused_with_the_kinds_there_are():
    unknown = Noise(np.ones(1), np.ones(1), make.attributes("a"))
    kinds = r"surface, surface-series, trajectory, .*"
    with pytest.raises(LandscapeError, match=rf"expected a result \({kinds}\), got Noise; register"):
        landscape.figure(unknown)


def test_a_convexity_map_is_not_taken_for_a_surface():
    from cases import kinds

    assert registry.kind_of(kinds.convexity()).result is ConvexityResult
    assert registry.kind_of(make.surface()).result is SurfaceResult
