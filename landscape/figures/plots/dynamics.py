"""Training dynamics: curvature against the edge of stability, sharpness, gradient norm and gap over epochs or steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from landscape.errors import LandscapeError
from landscape.figures.plots.line import value_axis
from landscape.figures.style import theme
from landscape.figures.style.bands import outline
from landscape.figures.style.scale import choose_scale
from landscape.figures.style.small_multiples import PANEL, legend_once
from landscape.results import DynamicsResult, Floats

LAMBDAS = ("lambda_max", *(f"lambda_{index}" for index in range(2, 100)))
LOSSES = ("train_loss", "validation_loss", "test_loss")
ACCURACIES = ("train_accuracy", "validation_accuracy", "test_accuracy")
TITLES = {
    "lambda_max": "Hessian eigenvalues",
    "preconditioned_lambda_max": "Preconditioned λ_max",
    "sam_sharpness": "SAM sharpness",
    "gradient_norm": "gradient norm",
    "generalization_gap": "test loss − train loss",
    "critical_step_size": "critical step size",
    "train_loss": "loss",
    "train_accuracy": "accuracy",
}
HIDDEN = ("edge", "learning_rate", "products", "critical_sharpness")  # drawn with another quantity, or not at all


@dataclass(frozen=True)
class DynamicsPanel:
    """One panel: the quantity in front, and those that share its axis."""

    title: str
    quantities: tuple[str, ...]
    edge: bool = False  # whether the stability threshold is drawn, too


def panels_of(results: Mapping[str, DynamicsResult]) -> list[DynamicsPanel]:
    """Return the panels of some results, in their order: curvature first, then sharpness, losses and the rest."""
    known = dict.fromkeys(name for result in results.values() for name in result.quantities)
    preconditioned = any(_is_preconditioned(result) for result in results.values())
    panels = []
    eigenvalues = tuple(name for name in LAMBDAS if name in known)
    curvature = (*eigenvalues, *(name for name in ("critical_sharpness",) if name in known))
    if curvature:
        panels.append(DynamicsPanel("Hessian eigenvalues", curvature, edge="edge" in known and not preconditioned))
    if "preconditioned_lambda_max" in known:
        name = "preconditioned_lambda_max"
        panels.append(DynamicsPanel(TITLES[name], (name,), edge="edge" in known and preconditioned))
    used = {*curvature, "preconditioned_lambda_max", *HIDDEN}
    groups = [tuple(name for name in group if name in known) for group in (LOSSES, ACCURACIES)]
    rest = [(name,) for name in known if name not in used and not any(name in group for group in groups)]
    for names in [*rest, *filter(None, groups)]:
        first = names[0]
        title = {LOSSES[0]: "loss", ACCURACIES[0]: "accuracy"}.get(first, TITLES.get(first, first))
        panels.append(DynamicsPanel(title, names))
    return panels


def dynamics_figure(
    results: Mapping[str, DynamicsResult],
    *,
    log: bool | None = None,
    colours: Mapping[str, int] | None = None,
    title: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Return the panels of `panels_of`, one below the other over one shared axis of epochs or steps.

    The largest eigenvalue is a line, those below it a band from the least to the largest; the stability threshold is
    dashed, the critical sharpness 2/η_c dotted. Errors are drawn as bands where they are visible.

    Args:
        results: The results by label.
        log: Logarithmic values; by default where they span a factor of 30 or more.
        colours: The index of each label's colour; by default its place among them.
        title: A heading.
        dark: Dark paper.

    Raises:
        LandscapeError: There is nothing to draw.
    """
    panels = panels_of(results)
    if not panels:
        raise LandscapeError("expected training dynamics with at least one quantity to draw, got none")
    count = len(panels)
    figure = make_subplots(rows=count, shared_xaxes=True, vertical_spacing=0.12 / count)
    for row, panel in enumerate(panels, start=1):
        shown = [result.series(name) for result in results.values() for name in panel.quantities]
        is_accuracy = panel.title == "accuracy"
        scale = choose_scale(shown, log=False if is_accuracy else log, automatic=False, percent=is_accuracy)
        for index, (label, result) in enumerate(results.items()):
            series = colours.get(label, index) if colours else index
            for trace in _traces(label, result, panel, series, log=scale.log):
                figure.add_trace(trace, row=row, col=1)
        figure.update_yaxes(**value_axis("accuracy" if is_accuracy else panel.title, scale), row=row, col=1)
        figure.update_yaxes(title_text=theme.text(panel.title), row=row, col=1)
    legend_once(figure)
    figure.update_xaxes(showticklabels=True)
    figure.update_xaxes(title_text=theme.text(_position(results)), row=count, col=1)
    figure.update_layout(height=60 + round(0.75 * PANEL) * count)
    return theme.apply_theme(figure, title=title, dark=dark)


def _traces(label: str, result: DynamicsResult, panel: DynamicsPanel, series: int, *, log: bool) -> list[go.Scatter]:
    """Return the curves of one result in a panel, the bands before the lines."""
    x, name = result.position, theme.text(label)
    traces: list[go.Scatter] = []
    eigenvalues = [quantity for quantity in panel.quantities if quantity in LAMBDAS and quantity in result.quantities]
    if len(eigenvalues) > 1:
        values = np.stack([result.series(quantity) for quantity in eigenvalues])
        low, high = np.min(values, axis=0), np.max(values, axis=0)
        traces.append(outline(x, low, high, series=series, floor=high / 1000 if log else None))
    for quantity in panel.quantities:
        if quantity not in result.quantities:
            continue
        values, error = result.series(quantity), result.error(quantity)
        is_minor = quantity in eigenvalues[1:]
        if not is_minor and np.isfinite(error).any():
            traces.append(
                outline(x, values - error, values + error, series=series, floor=values / 1000 if log else None)
            )
        text = _name(name, quantity, panel)
        traces.append(_line(x, values, text, label, series, dash=_dash(quantity), width=1 if is_minor else 2))
    if panel.edge and "edge" in result.quantities:
        formula = str((result.attributes.get("step_rule") or {}).get("formula", "edge"))
        values = result.series("edge")
        traces.append(_line(x, values, f"{name} · {theme.text(formula)}", label, series, dash="dash", width=1.5))
    return traces


def _line(x: Floats, y: Floats, name: str, label: str, series: int, *, dash: str, width: float) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=np.where(np.isfinite(y), y, np.nan),
        mode="lines" if len(x) > 1 else "markers",
        line={"color": theme.series_colour(series), "width": width, "dash": dash},
        name=name,
        legendgroup=name,
        showlegend=width > 1,
        meta={"series": series, "label": label},
    )


def _dash(quantity: str) -> str:
    if quantity == "critical_sharpness" or quantity.startswith("validation_"):
        return "dot"
    return "dash" if quantity.startswith("test_") else "solid"


def _name(label: str, quantity: str, panel: DynamicsPanel) -> str:
    if quantity == "critical_sharpness":
        return f"{label} · critical sharpness"
    if panel.quantities[0] in (*LOSSES, *ACCURACIES):
        return f"{label} · {quantity.partition('_')[0]}"
    return label if quantity == "lambda_max" or len(panel.quantities) == 1 else f"{label} · {quantity}"


def _is_preconditioned(result: DynamicsResult) -> bool:
    return bool((result.attributes.get("step_rule") or {}).get("method") == "adam")


def _position(results: Mapping[str, DynamicsResult]) -> str:
    names: Sequence[str] = list(
        dict.fromkeys(str(result.attributes.get("position") or "position") for result in results.values())
    )
    return " or ".join(names)
