"""Mean spectrum over disjoint subsets of the examples, with standard errors over the subsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from landscape.errors import LandscapeError
from landscape.results import SpectrumResult
from landscape.stats.mean import standard_error

ESTIMATES = ("trace", "frobenius", "effective_rank", "ratio_5")


def mean_spectrum(spectra: Sequence[SpectrumResult]) -> SpectrumResult:
    """Return the mean of each eigenvalue over spectra of disjoint subsets.

    The i-th eigenvalue is the mean of the subsets' i-th ones. It is biased against that of all the examples: the
    largest of a small sample tends to be larger. Its bound, the mean of the bounds, limits the distance to the mean of
    the exact eigenvalues. The sampling error is in `attributes["subsets"]["stderr"]`, one standard error per
    eigenvalue. Trace, norm and ratios are means with standard errors that include the probes' errors.

    Args:
        spectra: one per subset, with the same numbers of eigenvalues from both ends.

    Raises:
        LandscapeError: for fewer than two, or for spectra that do not match.
    """
    if len(spectra) < 2:
        raise LandscapeError(f"got {len(spectra)} subsets; expected at least 2, for a standard error")
    first = spectra[0]
    if any(spectrum.ends.tolist() != first.ends.tolist() for spectrum in spectra):
        raise LandscapeError("the subsets' spectra differ in how many eigenvalues they have; expected the same of each")
    values = np.stack([spectrum.eigenvalues for spectrum in spectra])
    examples = [dict(spectrum.attributes.get("examples", {})) for spectrum in spectra]
    subsets = {
        "count": len(spectra),
        "examples": [sum(counts.values()) for counts in examples],
        "eigenvalues": values.tolist(),
        "bounds": [spectrum.bounds.tolist() for spectrum in spectra],
        "stderr": standard_error(values).tolist(),
    }
    attributes: dict[str, Any] = {
        **first.attributes,
        "examples": {split: sum(counts[split] for counts in examples) for split in examples[0]},
        "seconds": sum(spectrum.attributes.get("seconds", 0.0) for spectrum in spectra),
        "bound": "the mean over the subsets of the bound of each",
        "subsets": subsets,
    }
    for name in ESTIMATES:
        estimates = [spectrum.attributes.get(name) for spectrum in spectra]
        attributes.pop(name, None)
        if all(estimate is not None for estimate in estimates):
            attributes[name] = _mean_estimate(estimates)
    return SpectrumResult(
        eigenvalues=values.mean(axis=0),
        ends=first.ends,
        residuals=np.mean([spectrum.residuals for spectrum in spectra], axis=0),
        bounds=np.mean([spectrum.bounds for spectrum in spectra], axis=0),
        converged=np.all([spectrum.converged for spectrum in spectra], axis=0),
        products=sum(spectrum.products for spectrum in spectra),
        attributes=attributes,
    )


def _mean_estimate(estimates: Sequence[Any]) -> dict[str, Any]:
    mappings = [estimate for estimate in estimates if isinstance(estimate, Mapping)]
    values = np.array([float(estimate["value"]) for estimate in mappings] if mappings else estimates, dtype=np.float64)
    methods = sorted({str(estimate["method"]) for estimate in mappings})
    return {
        "value": float(values.mean()),
        "stderr": float(standard_error(values)),
        "method": ", ".join([*methods, f"mean of {len(values)} subsets"]),
        **({"products": sum(int(estimate["products"]) for estimate in mappings)} if mappings else {}),
    }
