"""Results of curvature, studies and paths made of formulas, for tests."""

import numpy as np
from cases import synthetic as make

from landscape.results import (
    ConvexityResult,
    DensityResult,
    DynamicsResult,
    HistoryResult,
    LayersResult,
    LineResult,
    MeasureResult,
    SharpnessResult,
    StudyResult,
    SurfaceSeriesResult,
    TrajectoryResult,
    points_table,
)

HASHES = ["11" * 32, "22" * 32]


def trajectory(label="a", *, n=7, **more):
    """A spiral into the origin: n snapshots on a PCA plane that holds 83 % of the variance."""
    t = np.linspace(0, 1, n)
    return TrajectoryResult(
        alpha=(1 - t) * np.cos(4 * t),
        beta=(1 - t) * np.sin(4 * t),
        position=np.arange(float(n)),
        residuals=0.3 * t * (1 - t),
        distances=np.hypot(1 - t, 0.3 * t * (1 - t)),
        explained=np.array([0.62, 0.21, 0.08, 0.05]),
        attributes=make.attributes(label, position="epoch", directions={"kind": "pca", "hashes": HASHES}, **more),
    )


def curve(label="a..b", n=5):
    """A curve between two minima: no variance, t for the position."""
    t = np.linspace(0, 1, n)
    zero = np.zeros(n)
    attributes = make.attributes(label, position="t", directions={"kind": "three", "hashes": HASHES})
    return TrajectoryResult(t, 0.4 * np.sin(np.pi * t), t, zero, np.hypot(t, zero), np.empty(0), attributes)


def pca_surface(label="a", **options):
    """The surface that `trajectory` belongs to, with a checkpoint marked on it."""
    marks = [{"label": "epoch 2", "alpha": 0.5, "beta": 0.25}]
    return make.surface(label, directions={"kind": "pca", "hashes": HASHES}, marks=marks, **options)


def ritz(seed=0, vectors=3, steps=12, top=40.0):
    """Ritz values with a bulk at zero, some of it negative, and outliers up to `top`; weights whose rows sum to 1."""
    generator = np.random.default_rng(seed)
    nodes = np.concatenate(
        [generator.normal(0.2, 0.5, (vectors, steps - 3)), top * generator.uniform(0.3, 1, (vectors, 3))], axis=1
    )
    weights = np.concatenate(
        [generator.uniform(0.5, 1, (vectors, steps - 3)), 1e-3 * generator.uniform(size=(vectors, 3))], axis=1
    )
    return np.sort(nodes, axis=1), weights / weights.sum(axis=1, keepdims=True)


def density(label="a", *, sigma=0.5, seed=0, top=40.0, vectors=3):
    """A spectral density by the definition, in a plain loop."""
    nodes, weights = ritz(seed, vectors, top=top)
    grid = np.linspace(nodes.min() - 5 * sigma, nodes.max() + 5 * sigma, 301)
    curves = np.zeros((vectors, len(grid)))
    for v in range(vectors):
        for node, weight in zip(nodes[v], weights[v], strict=True):
            curves[v] += weight * np.exp(-0.5 * ((grid - node) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    stderr = curves.std(axis=0, ddof=1) / np.sqrt(vectors) if vectors > 1 else np.full(len(grid), np.nan)
    return DensityResult(
        eigenvalue=grid,
        density=curves.mean(axis=0),
        stderr=stderr,
        nodes=nodes,
        weights=weights,
        sigma=sigma,
        products=nodes.size,
        attributes=make.attributes(label, operator="hessian", sigma="attributes may be called so too"),
    )


def layers(label="a", scale=1.0, count=5):
    """Curvature that grows through the network; one block did not converge, one trace is negative."""
    k = np.arange(1.0, count + 1)
    return LayersResult(
        names=("conv1.weight", *(f"layer{i}.0.conv1.weight" for i in range(1, count - 1)), "fc.weight"),
        parameters=(100 * k).astype(np.int64),
        top=scale * k**2,
        bounds=0.01 * k,
        converged=k != 2,
        trace=scale * (3 * k**2 - 4),
        trace_stderr=0.2 * k,
        products=120,
        attributes=make.attributes(label, operator="hessian"),
    )


def study(count=8, *, groups=True):
    """Two measures of some checkpoints: one that follows the gap with noise, one that does not; and one with no τ."""
    generator = np.random.default_rng(1)
    gap = np.linspace(0.1, 0.5, count)
    values = np.stack([50 * gap + generator.normal(0, 2, count), generator.uniform(1, 2, count), np.ones(count)])
    more = {"groups": ["sam" if i % 2 else "adam" for i in range(count)]} if groups else {}
    return StudyResult(
        checkpoints=tuple(f"{'sam' if i % 2 else 'adam'}-s{i}" for i in range(count)),
        gap=gap,
        measures=("λ_max of the Hessian", "SAM sharpness, ρ = 0.05", "constant"),
        values=values,
        stderrs=np.stack([np.full(count, np.nan), np.full(count, 0.1), np.full(count, np.nan)]),
        tau=np.array([0.9, -0.07, np.nan]),
        tau_low=np.array([0.6, -0.5, np.nan]),
        tau_high=np.array([1.0, 0.4, np.nan]),
        attributes=make.attributes("study", **more),
    )


def convexity(label="a", *, nx=5, ny=3, change=None):
    """A convexity map: convex at the origin, less so away from it; beyond α = 0.9 the ratio diverges."""
    alpha, beta = np.linspace(-1, 1, nx), np.linspace(-1, 1, ny)
    rows = []
    for b in beta:
        for a in alpha:
            top, bottom = 10.0 + a, -(a**2 + b**2)
            ratio = abs(bottom / top) if a < 0.9 else 50.0
            for m, (value, bound) in enumerate(((ratio, 0.001), (bottom, 0.01), (top, 0.02))):
                rows.append((a, b, 0, m, value, bound, 500, 0))
    points = points_table(rows, ConvexityResult.point)
    points = change(points) if change else points
    attributes = make.attributes(label, directions={"kind": "random", "seed": 0})
    return ConvexityResult(alpha, ("train",), ("convexity", "lambda_min", "lambda_max"), points, attributes, beta)


def seeded_lines(label="a", count=5, *, n=9, scale=0.6, width=True):
    """Lines along `count` directions, as a file holds them: line-d0, line-d1, ... Each steeper than the one before.

    The loss rises as c α² to the left and 1.5 c α² to the right, c = scale (1 + seed), so that the radii are known.
    """
    alpha, lines = np.linspace(-1, 1, n), {}
    splits, metrics = ("train", "test"), ("loss", "accuracy")
    for seed in range(count):
        c = scale * (1 + seed)
        rows = make.rows(
            alpha, [0.0], splits, metrics, lambda a, b, s, c=c: 0.5 + 0.3 * s + c * a**2 * (1.5 if a > 0 else 1)
        )
        attributes = make.attributes(label, family="line", directions={"kind": "random", "seed": seed})
        if width:
            sides = {rise: ((rise / c) ** 0.5, (rise / (1.5 * c)) ** 0.5) for rise in (0.1, 1.0)}
            reached = {rise: [r if r <= 1 else float("nan") for r in radii] for rise, radii in sides.items()}
            attributes["width"] = [{"rise": rise, "left": l, "right": r} for rise, (l, r) in reached.items()]  # noqa: E741
        lines[f"{label}/line-d{seed}"] = LineResult(alpha, splits, metrics, points_table(rows), attributes)
    return lines


def dynamics(label="a", epochs=5, *, adam=False, **more):
    """Progressive sharpening up to the edge 2/η = 50: five eigenvalues, sharpness, losses, one missing value."""
    t = np.arange(float(epochs))
    top = 50 * (1 - 0.6**t) + 1
    quantities = {
        "lambda_max": (top, 0.01 * top),
        **{f"lambda_{k}": (top / k, 0.01 * top) for k in range(2, 6)},
        "edge": (np.full(epochs, 50.0), np.full(epochs, np.nan)),
        "learning_rate": (np.full(epochs, 0.04), np.full(epochs, np.nan)),
        "SAM sharpness, ρ = 0.05": (top / 100, np.full(epochs, 0.01)),
        "gradient_norm": (1 / (1 + t), np.full(epochs, np.nan)),
        "train_loss": (2 / (1 + t), np.full(epochs, 0.02)),
        "test_loss": (2.2 / (1 + t), np.where(t == 1, np.nan, 0.02)),
    }
    if adam:
        quantities["preconditioned_lambda_max"] = (700 * top, 7 * top)
    rule = {"method": "adam" if adam else "gradient descent", "momentum": 0.0, "formula": "2/η"}
    kind = {"lambda_max": "bound", "train_loss": "standard error"}
    attributes = make.attributes(label, position="epoch", step_rule=rule, errors=kind, **more)
    values, errors = (np.stack([pair[i] for pair in quantities.values()]) for i in (0, 1))
    return DynamicsResult(t, tuple(quantities), values, errors, attributes)


def surface_series(label="a", epochs=3, **more):
    """A bowl that deepens with the epochs: loss (3 − t)(0.1 + α² + β²), twice that on the test split."""
    t, alpha, beta = np.arange(float(epochs)), np.linspace(-1, 1, 5), np.linspace(-1, 1, 3)
    bowl = (epochs - t)[:, None, None] * (0.1 + alpha**2 + beta[:, None] ** 2)
    loss = np.stack([bowl, 2 * bowl], axis=1)[:, :, None]
    attributes = make.attributes(label, position="epoch", directions={"kind": "random", "seed": 0}, **more)
    return SurfaceSeriesResult(t, alpha, beta, ("train", "test"), ("loss",), loss, 0.01 * loss, attributes)


def bezier(first="a", second="b"):
    """The loss along a curve between two checkpoints; lower than on the straight line."""
    alpha = np.linspace(0, 1, 9)
    rows = make.rows(alpha, [0.0], ("train",), ("loss",), lambda t, _, s: 0.1 + 0.1 * t + 0.2 * np.sin(np.pi * t))
    ends = [{"label": first, "sha256": "aa" * 32}, {"label": second, "sha256": "bb" * 32}]
    attributes = make.attributes(f"{first}..{second}", directions={"kind": "bezier", "hashes": []}, checkpoints=ends)
    barrier = {"train": {"loss": {"value": 0.2, "stderr": 0.01, "at": 0.5}}}
    return LineResult(alpha, ("train",), ("loss",), points_table(rows), attributes | {"barrier": barrier})


def sweep(label="a", scale=1.0, rhos=(0.01, 0.02, 0.05, 0.1), ms=(32, 64, 128)):
    """SAM sharpness over ρ, worst-case sharpness over ρ (two norms) and m-sharpness over m, in no order."""
    measures = [
        MeasureResult("sam", f"SAM sharpness, ρ = {rho:g}", scale * rho**2, 0.1 * rho**2, "one step", 3,
                {"rho": rho, "p": 2, "gradient_norm": float(scale)})
        for rho in rhos[::-1]
    ]  # fmt: skip
    for p in ("2", "inf"):
        for rho in rhos:
            label_ = f"worst-case sharpness, p = {p}, ρ = {rho:g}"
            measures.append(
                MeasureResult("worst", label_, 3 * scale * rho, float("nan"), "bound", 9, {"rho": rho, "p": p})
            )
    for m in ms:
        label_ = f"m-sharpness, ρ = 0.05, m = {m}"
        measures.append(
            MeasureResult("m_sam", label_, scale / m, 0.01 / m, "mean over subsets", 9, {"rho": 0.05, "m": m})
        )
    measures.append(MeasureResult("lambda_max", "λ_max of the Hessian", 9.0, float("nan"), "bound", 9, {"seed": 0}))
    return SharpnessResult(tuple(measures), make.attributes(label))


def seeded_histories(recipe="sam", seeds=3, epochs=4):
    """Training curves of some runs of one recipe that differ in the seed."""
    found = {}
    for seed in range(seeds):
        plain = make.history(f"{recipe}-s{seed}", epochs)
        columns = {
            name: column * (1 + 0.1 * seed) if "loss" in name else column for name, column in plain.columns.items()
        }
        columns["seconds"] = plain.columns["seconds"] * (1 + 0.2 * seed)
        more = {"recipe": recipe, "training": {"recipe": recipe, "seed": seed}}
        found[f"{recipe}-s{seed}"] = HistoryResult(columns, {**plain.attributes, **more})
    return found


def everything(label="a"):
    """One result of each kind that `synthetic.everything` lacks, and what else a file may hold."""
    return {
        f"{label}/pca": pca_surface(label),
        f"{label}/trajectory": trajectory(label),
        f"{label}/density": density(label),
        f"{label}/layers": layers(label),
        f"{label}/convexity": convexity(label),
        f"{label}/curves": sweep(label),
        f"{label}/dynamics": dynamics(label),
        f"{label}/plane-series": surface_series(label),
        **seeded_lines(label, 3),
        "a..b/curve": bezier(),
        "a..b/path": curve(),
        "study/sharpness": study(),
    }
