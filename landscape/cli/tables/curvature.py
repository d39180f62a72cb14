"""Curvature for people: tables of eigenvalues, estimates, densities and layers, and their JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from landscape.cli.tables.origin import origin_accuracy
from landscape.cli.terminal import console
from landscape.results import DensityResult, LayersResult, SpectrumResult
from landscape.stats import number_format
from landscape.stats.spectra import mean_eigenvalue, negative_share

Curvature = Mapping[str, SpectrumResult | DensityResult | LayersResult]
ESTIMATES = {
    "trace": "trace",
    "frobenius": "Frobenius norm",
    "effective_rank": "effective rank (trace / λ_max)",
    "ratio_5": "λ_max / λ_5",
}


def print_curvature(results: Curvature) -> None:
    """Print a table of each kind, what it took, and what did not converge."""
    spectra = {key: result for key, result in results.items() if isinstance(result, SpectrumResult)}
    densities = {key: result for key, result in results.items() if isinstance(result, DensityResult)}
    layers = {key: result for key, result in results.items() if isinstance(result, LayersResult)}
    if spectra:
        _print_eigenvalues(spectra)
        _print_estimates(spectra)
    if densities:
        _print_densities(densities)
    if layers:
        _print_layers(layers)
    for key, result in results.items():
        attributes = result.attributes
        reason = f", since {attributes['derivative_reason']}" if attributes.get("derivative_reason") else ""
        console.say(
            f"{key}: {result.products} products ({attributes['derivative_mode']}{reason}) "
            f"in {number_format.duration(attributes['seconds'])}"
        )
        if not isinstance(result, DensityResult) and not result.converged.all():
            console.warn(f"{key}: not all converged; {_remedy(result)}")


def _remedy(result: SpectrumResult | LayersResult) -> str:
    """Return advice for eigenvalues that miss the tolerance."""
    attributes = result.attributes
    most = int(attributes["settings"]["max_products"])
    if isinstance(result, LayersResult):
        return f"try --max-products above {most}, or a larger --tolerance"
    if result.products < most * int(attributes.get("subsets", {}).get("count", 1)):  # it did not stop for want of them
        rounding = float(attributes["product_error"])
        return f"more products would not help, for one is off by {rounding:.1e}; try a larger --tolerance"
    return f"try --max-products above {most if 'subsets' in attributes else result.products}, or a larger --tolerance"


def _print_eigenvalues(spectra: Mapping[str, SpectrumResult]) -> None:
    several = any("subsets" in spectrum.attributes for spectrum in spectra.values())
    rows = [row if several else row[:-1] for key, spectrum in spectra.items() for row in _rows(key, spectrum)]
    columns = ["result", "", "value", "residual", "bound", "converged", *(["± over subsets"] if several else [])]
    of = "means over subsets; the bound is on the numerical error alone" if several else ""
    console.print_table(f"eigenvalues ({of or 'an exact one lies within the bound'})", columns, rows)


def _rows(key: str, spectrum: SpectrumResult) -> Iterator[list[str]]:
    places = {1: 0, -1: 0}
    total = int((spectrum.ends < 0).sum())
    errors = spectrum.attributes.get("subsets", {}).get("stderr", [np.nan] * len(spectrum.ends))
    origin = origin_accuracy(spectrum)
    if origin is not None:
        yield [key, "accuracy at the origin", origin, "", "", "", ""]
    for i, value in enumerate(spectrum.eigenvalues):
        end = int(spectrum.ends[i])
        places[end] += 1
        yield [
            key,
            f"top {places[1]}" if end > 0 else f"bottom {total + 1 - places[-1]}",
            number_format.number(float(value)),
            f"{spectrum.residuals[i]:.1e}",
            f"{spectrum.bounds[i]:.1e}",
            "yes" if spectrum.converged[i] else "NO",
            f"{errors[i]:.2g}" if np.isfinite(errors[i]) else "",
        ]


def _print_estimates(spectra: Mapping[str, SpectrumResult]) -> None:
    rows = []
    for key, spectrum in spectra.items():
        for name, words in ESTIMATES.items():
            estimate = spectrum.attributes.get(name)
            if isinstance(estimate, Mapping):
                method = f"{estimate['method']}, {estimate['products']} products" if "products" in estimate else ""
                value = number_format.uncertain(float(estimate["value"]), float(estimate["stderr"]))
                rows.append([key, words, value, method or str(estimate["method"])])
            elif estimate is not None:
                rows.append([key, words, number_format.number(float(estimate)), ""])
    if rows:
        console.print_table("of the whole spectrum (± is one standard error)", ["result", "", "value", "by"], rows)


def _print_densities(densities: Mapping[str, DensityResult]) -> None:
    rows = []
    for key, result in densities.items():
        known = result.weights > 0
        negative, mean = negative_share(result), mean_eigenvalue(result)
        rows.append(
            [
                key,
                number_format.number(result.sigma, 3),
                f"{len(result.nodes)} x {result.attributes['steps']}",
                number_format.number(float(result.nodes[known].min())),
                number_format.number(float(result.nodes[known].max())),
                number_format.uncertain(mean.value, mean.stderr),
                number_format.percent(negative.value, negative.stderr),
            ]
        )
    columns = ["result", "σ", "vectors x steps", "smallest Ritz value", "largest", "mean eigenvalue", "below -σ"]
    console.print_table("spectral density (± is one standard error over the starting vectors)", columns, rows)


def _print_layers(layers: Mapping[str, LayersResult]) -> None:
    rows = [
        [
            key,
            name,
            str(result.parameters[i]),
            number_format.number(float(result.top[i])),
            f"{result.bounds[i]:.1e}",
            "yes" if result.converged[i] else "NO",
            number_format.uncertain(float(result.trace[i]), float(result.trace_stderr[i])),
        ]
        for key, result in layers.items()
        for i, name in enumerate(result.names)
    ]
    columns = ["result", "layer", "parameters", "λ_max", "bound", "converged", "trace"]
    console.print_table("layers, each one's own block (± is one standard error)", columns, rows)
