"""Pictures of the concept pages, from tiny networks trained here on the digits: `python docs/concepts/pictures.py`.

Takes two minutes on a CPU, and prints the numbers that the pages state. Needs the extra `export` (kaleido) and a
Chromium or Chrome, which the environment variable BROWSER_PATH can name.
"""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor, nn

import landscape
from landscape.analysis.objective.weights import flatten, norm
from landscape.analysis.planes import Plane
from landscape.export.images.render import ImageFile, write_images
from landscape.figures.plots.density import with_sigma
from landscape.figures.style.theme import LIGHT, apply_theme
from landscape.results import LineResult

FOLDER = Path(__file__).parent
SCALE = 10.0  # of the filters in front of BatchNorm
LAYERS = 3.0  # of the first layer of the ReLU network; the second is divided by it


def convolutional() -> nn.Sequential:
    """Return a network of 1,442 parameters with BatchNorm."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(16, 10)),
    )


def fully_connected() -> nn.Sequential:
    """Return a ReLU network without BatchNorm."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def trained(make: type | object, images: Tensor, labels: Tensor, *, seed: int, epochs: int) -> nn.Sequential:
    """Return a network trained with Adam."""
    torch.manual_seed(seed)
    model: nn.Sequential = make().train()  # type: ignore[operator]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    steps = epochs * (len(images) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64)[: len(images) // 64]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def scaled_filters(model: nn.Sequential) -> nn.Sequential:
    """Return a network of the same function, its filters in front of BatchNorm ten times as large."""
    other = copy.deepcopy(model)
    for conv, batchnorm in ((other[0], other[1]), (other[4], other[5])):
        conv.weight.data *= SCALE
        batchnorm.running_mean *= SCALE
        batchnorm.running_var *= SCALE**2
        batchnorm.eps *= SCALE**2  # so that the function is the same to rounding
    return other


def scaled_layers(model: nn.Sequential) -> nn.Sequential:
    """Return a ReLU network of the same function, its first layer larger and its second smaller."""
    other = copy.deepcopy(model)
    other[1].weight.data *= LAYERS
    other[1].bias.data *= LAYERS
    other[3].weight.data /= LAYERS
    return other


def curve(x: Sequence[float], y: Sequence[float], name: str, index: int, dash: str = "solid") -> go.Scatter:
    """Return a line in the theme's colour of this index."""
    return go.Scatter(
        x=x, y=y, name=name, mode="lines", line={"color": LIGHT.series[index], "dash": dash, "width": 2.5}
    )


def measured(objective: landscape.Objective, plane: Plane, axes: landscape.Axes) -> LineResult:
    """Return loss and accuracy along a line in float32."""
    line = landscape.surface(objective, plane, axes=axes, evaluation=landscape.Evaluation(precision="float32"))
    assert isinstance(line, LineResult)
    return line


def loss(line: LineResult) -> list[float]:
    """Return the loss along a line."""
    return list(line.grid("loss")[0])


def slice_picture(objective: landscape.Objective) -> go.Figure:
    """Draw the loss along a random direction and along the steepest one, over the distance from the minimum."""
    operator = landscape.CurvatureOperator(objective, "hessian")
    spectrum, vectors = landscape.eigenvectors(objective, top=1)
    (steepest,) = landscape.eigenvector_directions(spectrum, vectors, ("top1",))
    gradient = landscape.sam_direction(objective)
    trace = landscape.trace(objective, products=200)
    directions = [landscape.random_direction(objective, number, seed=0) for number in (0, 1)]
    figure = go.Figure()
    reach = 1.5
    named = [("random direction", 0, directions[0]), ("another one", 5, directions[1])]
    for name, index, direction in [*named, ("SAM's step", 2, gradient), ("steepest eigenvector", 1, steepest)]:
        length = norm(direction.vector)
        plane = landscape.plane_along(objective, direction)
        line = measured(objective, plane, landscape.Axes(121, span=reach / length))
        figure.add_trace(curve(line.alpha * length, loss(line), name, index))
        flat = flatten(direction.vector) / length
        print(f"slice: dᵀHd/‖d‖² of {name}: {float(flat @ operator.matvec(flat)):.3g}")
    top, n = spectrum.eigenvalues[0], objective.size
    print(f"slice: n = {n}, λ_max = {top:.4g}, trace/n = {trace.trace / n:.3g}, loss {objective.loss():.4g}")
    cosine = sum((a * b).sum() for a, b in zip(*(d.vector.values() for d in directions), strict=True))
    print(
        f"slice: cosine of two random directions {cosine / norm(directions[0].vector) / norm(directions[1].vector):.3f}"
    )
    figure.update_layout(
        xaxis_title="distance from the minimum, ‖w − w₀‖", yaxis_title="train loss", yaxis_range=[0, 3]
    )
    return figure


def normalization_picture(model: nn.Sequential, images: Tensor, labels: Tensor) -> go.Figure:
    """Draw one function twice, its filters ten times as large the second time, without and with normalization."""
    figure = make_subplots(1, 2, subplot_titles=("random direction as drawn", "filter-normalized"), shared_yaxes=True)
    for row, (name, network, dash) in enumerate(
        [("the network", model, "solid"), ("the same function, filters × 10", scaled_filters(model), "dash")]
    ):
        objective = landscape.Objective(network, "cross_entropy", images, labels, fold=False)
        for column, (normalization, span) in enumerate((("none", 0.6), ("filter", 0.6)), 1):
            plane = landscape.random_plane(objective, dimensions=1, normalization=normalization, seed=0)
            line = measured(objective, plane, landscape.Axes(121, span=span))
            line_curve = curve(line.alpha, loss(line), name, row, dash).update(showlegend=column == 1)
            figure.add_trace(line_curve, 1, column)
            print(f"normalization: {name}, {normalization}: {landscape.basin_width(line)}")
    figure.update_layout(legend={"y": -0.2, "yanchor": "top"}, margin={"t": 32})
    figure.update_xaxes(title_text="step α along the direction")
    figure.update_yaxes(title_text="train loss", col=1, range=[0, 6])
    return figure


def batchnorm_picture(models: Sequence[nn.Sequential], images: Tensor, labels: Tensor) -> go.Figure:
    """Draw the loss on the line between two minima in both BatchNorm modes."""
    figure = go.Figure()
    for index, mode in enumerate(("fixed", "recalibrated")):
        objective = landscape.Objective(models[0], "cross_entropy", images, labels, batchnorm=mode)
        plane = landscape.line_between(objective, models[1].state_dict())
        line = measured(objective, plane, landscape.Axes(41, margin=0.0))
        name = {"fixed": "running statistics interpolated", "recalibrated": "statistics re-estimated at each point"}[
            mode
        ]
        figure.add_trace(curve(line.alpha, loss(line), name, 1 - index))
        print(f"batchnorm: {mode}: highest {max(loss(line)):.3g}, ends {loss(line)[0]:.3g} {loss(line)[-1]:.3g}")
    figure.update_layout(xaxis_title="position t between the two networks", yaxis_title="train loss")
    return figure


def sharpness_picture(images: Tensor, labels: Tensor) -> go.Figure:
    """Draw the measures of a rescaled ReLU network relative to those of the network."""
    model = trained(fully_connected, images, labels, seed=0, epochs=10)
    measures = {
        "λ_max": landscape.LargestEigenvalue(),
        "Keskar": landscape.KeskarSharpness(),
        "SAM": landscape.SamSharpness(),
        "ASAM, η = 0.01": landscape.AsamSharpness(eta=0.01),
        "ASAM, η = 0": landscape.AsamSharpness(eta=0.0),
        "worst case, adaptive": landscape.WorstCaseSharpness(),
        "average case, adaptive": landscape.AverageSharpness(),
    }
    values = []
    for network in (model, scaled_layers(model)):
        objective = landscape.Objective(network, "cross_entropy", images, labels)
        values.append(landscape.sharpness(objective, list(measures.values())).measures)
    ratios = {name: other.value / one.value for name, one, other in zip(measures, *values, strict=True)}
    print("sharpness:", {name: round(ratio, 3) for name, ratio in ratios.items()})
    colours = [LIGHT.series[0] if abs(ratio - 1) < 0.02 else LIGHT.series[1] for ratio in ratios.values()]
    bars = go.Bar(x=list(ratios.values()), y=list(ratios), orientation="h", marker_color=colours, base=0, width=0.6)
    figure = go.Figure(bars.update(text=[f"× {ratio:.2f}" for ratio in ratios.values()], textposition="outside"))
    figure.add_vline(x=1, line_color=LIGHT.muted, line_width=1)
    figure.update_layout(xaxis_title="value of the rescaled network / value of the network", yaxis_autorange="reversed")
    figure.update_xaxes(range=[0, 1.15 * max(ratios.values())])
    return figure


def spectrum_picture(objective: landscape.Objective) -> go.Figure:
    """Draw all exact eigenvalues, and the estimated density at two widths."""
    operator = landscape.CurvatureOperator(objective, "hessian")
    columns = [operator.matvec(column) for column in torch.eye(objective.size)]
    matrix = torch.stack(columns).double()
    exact = torch.linalg.eigvalsh((matrix + matrix.T) / 2).numpy()
    estimate = landscape.density(objective, vectors=8, steps=80, sigma=0.1)
    grid = np.linspace(-5, 95, 2001)
    figure = go.Figure()
    for index, sigma in ((5, 0.1), (1, 1.0)):
        drawn = with_sigma(estimate, sigma, grid)
        figure.add_trace(curve(grid, drawn.density.round(7), f"estimated density, σ = {sigma}", index))
    shown = np.unique(exact.round(1))
    marker = {"symbol": "line-ns-open", "size": 12, "color": LIGHT.ink, "line": {"width": 1}}
    ticks = go.Scatter(x=shown, y=np.full(len(shown), 3e-5), mode="markers", name="exact eigenvalues", marker=marker)
    figure.add_trace(ticks)
    print(f"spectrum: top {exact[::-1][:14].round(2)}, smallest {exact[0]:.3g}, n = {len(exact)}")
    print(f"spectrum: share within 1 % of λ_max {np.mean(np.abs(exact) < 0.01 * exact[-1]):.3f}")
    figure.update_yaxes(type="log", range=[-5, 1.3], title_text="density", dtick=1, exponentformat="power")
    figure.update_layout(xaxis_title="eigenvalue of the Hessian")
    return figure


def main() -> None:
    """Train the networks and write the pictures."""
    torch.set_num_threads(1)
    split = landscape.load_dataset("digits").splits["train"]
    images, labels = split.inputs.float() / 255 - 0.3, split.labels
    models = [trained(convolutional, images, labels, seed=seed, epochs=20) for seed in (0, 1)]
    objective = landscape.Objective(models[0], "cross_entropy", images, labels)
    pictures = {
        "slice": (slice_picture(objective), 380),
        "filter-normalization": (normalization_picture(models[0], images, labels), 400),
        "batchnorm": (batchnorm_picture(models, images, labels), 340),
        "sharpness": (sharpness_picture(images, labels), 360),
        "spectrum": (spectrum_picture(objective), 400),
    }
    write_images(
        [
            ImageFile(apply_theme(figure), FOLDER / f"{name}.svg", 860, height)
            for name, (figure, height) in pictures.items()
        ]
    )


if __name__ == "__main__":
    main()
