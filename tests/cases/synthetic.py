"""Results made of formulas, for the tests of figures and reports."""

from dataclasses import replace

import numpy as np

from landscape.results import (
    HistoryResult,
    LineResult,
    MeasureResult,
    SharpnessResult,
    SpectrumResult,
    SurfaceResult,
    points_table,
)


def attributes(label, **more):
    """Attributes as the analysis commands write them."""
    return {
        "checkpoint": label,
        "checkpoints": [{"label": label, "sha256": "ab" * 32}],
        "model": "resnet20",
        "parameters": 269_722,
        "final": {"train_loss": 0.012, "train_accuracy": 0.998, "test_loss": 0.21, "test_accuracy": 0.957},
        "data": {"kind": "digits", "name": "digits", "notes": [], "fingerprints": {"train": "c0ffee"}},
        "subset": 2000,
        "directions": {"kind": "random", "seed": 0, "normalization": "filter"},
        "seconds": 74.2,
        "created": "2026-01-02T03:04:05+00:00",
        "command": f"landscape surface checkpoints/{label}.pt --points 51",
        **more,
    }


def loss(alpha, beta, split):
    """A bowl that is not symmetric in any way, so that a transposed or mirrored grid shows."""
    return 0.02 + 0.2 * split + 1.5 * alpha**2 + 0.4 * beta**2 + 0.1 * alpha + 0.05 * beta + 0.3 * alpha * beta


def rows(alpha, beta, splits, metrics, value=loss):
    """Table rows of loss and accuracy at all points."""
    table = []
    for y in beta:
        for x in alpha:
            for s in range(len(splits)):
                for m, metric in enumerate(metrics):
                    height = value(x, y, s)
                    number = 1 / (1 + height) if metric == "accuracy" else height
                    table.append((x, y, s, m, number, 0.01, 2000, 0))
    return table


def surface(
    label="a", *, nx=7, ny=5, splits=("train", "test"), metrics=("loss", "accuracy"), change=None, value=loss, **more
):
    """A surface of nx by ny points; `change` edits the table of points before it is stored."""
    alpha, beta = np.linspace(-1, 1, nx), np.linspace(-0.5, 0.5, ny)
    points = points_table(rows(alpha, beta, splits, metrics, value))
    if change:
        points = change(points)
    return SurfaceResult(
        alpha=alpha, splits=splits, metrics=metrics, points=points, attributes=attributes(label, **more), beta=beta
    )


def line(label="a", *, n=9, splits=("train", "test"), metrics=("loss", "accuracy"), value=loss, **more):
    """A line of n points."""
    alpha = np.linspace(-1, 1, n)
    points = points_table(rows(alpha, [0.0], splits, metrics, value))
    return LineResult(alpha=alpha, splits=splits, metrics=metrics, points=points, attributes=attributes(label, **more))


def between(first="a", second="b", **more):
    """A line from one checkpoint to another with a barrier."""
    alpha = np.linspace(0, 1, 9)
    points = points_table(
        rows(alpha, [0.0], ("train",), ("loss",), lambda t, _, s: 0.1 + 0.1 * t + 2 * np.sin(np.pi * t))
    )
    ends = [{"label": first, "sha256": "aa" * 32}, {"label": second, "sha256": "bb" * 32}]
    extra = {
        "directions": {"kind": "between"},
        "checkpoints": ends,
        "barrier": {"train": {"loss": {"value": 2.0, "stderr": 0.1, "at": 0.5}}},
    }
    return LineResult(
        alpha=alpha,
        splits=("train",),
        metrics=("loss",),
        points=points,
        attributes=attributes(f"{first}..{second}", **(extra | more)),
    )


def spectrum(label="a", scale=1.0):
    """Three eigenvalues from the top and two from the bottom; one of each did not converge."""
    values = scale * np.array([9.0, 5.0, 2.0, -0.2, -0.7])
    bounds = np.abs(values) * np.array([1e-4, 1e-3, 0.1, 1e-3, 0.2])
    return SpectrumResult(
        eigenvalues=values,
        ends=np.array([1, 1, 1, -1, -1], dtype=np.int8),
        residuals=bounds,
        bounds=bounds,
        converged=np.array([True, True, False, True, False]),
        products=40,
        attributes=attributes(label, operator="hessian", bound="residual"),
    )


def sharpness(label="a", keskar=1.8, sam=0.012, average=1.2e-5):
    """Three measures, of which two have standard errors."""
    measures = (
        MeasureResult(
            "keskar", "Keskar ε-sharpness, ε = 0.001", keskar, float("nan"), "lower bound of the maximum", 42
        ),
        MeasureResult("sam", "SAM sharpness, ρ = 0.05", sam, 0.0004, "one-step value", 2),
        MeasureResult(
            "average", "Average-case sharpness, ρ = 0.05", average, 2e-6, "mean over 10 antithetic pairs", 20
        ),
    )
    return SharpnessResult(measures=measures, attributes=attributes(label))


def history(label="a", epochs=6):
    """Curves that fall; with all columns."""
    epoch = np.arange(1.0, epochs + 1)
    columns = {
        "epoch": epoch,
        "train_loss": 2 * np.exp(-epoch),
        "train_accuracy": 1 - 0.5 * np.exp(-epoch),
        "test_loss": 2 * np.exp(-epoch) + 0.2,
        "test_accuracy": 0.95 - 0.5 * np.exp(-epoch),
        "gradient_evaluations": 1437 * epoch,
        "seconds": 3.2 * epoch,
    }
    return HistoryResult(columns=columns, attributes=attributes(label))


def everything(*labels, **options):
    """One result of each kind for every label."""
    results = {}
    for index, label in enumerate(labels):
        results[f"{label}/plane"] = surface(label, **options)
        results[f"{label}/line"] = line(label)
        results[f"{label}/hessian"] = spectrum(label, 1.0 + index)
        results[f"{label}/sharpness"] = sharpness(label, sam=0.012 * (1 + index))
        results[f"{label}/history"] = history(label)
    if len(labels) > 1:
        results[f"{labels[0]}..{labels[1]}/between"] = between(*labels[:2])
    return results


def pair_of_recipes(seeds=(0, 1, 2), *, apart=0.1):
    """Runs of two recipes over some seeds: of the second, λ_max and SAM sharpness are lower by about `apart`."""
    results = {}
    for index, seed in enumerate(seeds):
        for recipe, lower in (("adam", 0.0), ("sam", apart)):
            label = f"net-{recipe}-s{seed}"
            scale = 1 - lower * (1 + 0.2 * index)
            more = {
                "recipe": recipe,
                "training": {"recipe": recipe, "seed": seed},
                "final": {
                    "train_loss": 0.02 + 0.01 * seed,
                    "test_loss": 0.3 + 0.01 * seed - lower * (0.5 + 0.1 * index),
                    "test_accuracy": 0.9 + lower * 0.1 * (1 + 0.3 * index),
                },
            }
            found = {
                "plane": surface(label, nx=9, ny=9),
                "line": line(label),
                "hessian": spectrum(label, scale),
                "sharpness": sharpness(label, sam=0.012 * scale, keskar=1.8 + 0.1 * (-1) ** index * (lower > 0)),
                "history": history(label),
            }
            for name, result in found.items():
                results[f"{label}/{name}"] = replace(result, attributes={**result.attributes, **more})
    return results


def modes(label="a", **options):
    """The plane of one checkpoint in each BatchNorm mode, as a file holds them."""
    directions = {"kind": "random", "seed": 0, "normalization": "filter", "hashes": ["11" * 32, "22" * 32]}
    names = {"plane": "fixed", "plane-2": "recalibrated", "plane-3": "batch"}
    return {
        f"{label}/{name}": surface(label, batchnorm=mode, directions=directions, **options)
        for name, mode in names.items()
    }


def estimated(label="a"):
    """A surface estimated to a tolerance: measured on all examples (level 1) at three points."""

    def measure_some(points):
        some = points[(points["beta"] == 0) & np.isin(points["alpha"], (-1, 0, 1))].copy()
        some["level"] = 1
        return np.concatenate([points, some])

    told = {
        "asked": 0.01,
        "measured_95": 0.0091,
        "measured_worst": 0.0183,
        "held_out": 40,
        "saving": 21.6,
        "levels": [],
    }
    return surface(label, change=measure_some, tolerance=told)
