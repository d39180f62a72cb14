"""Spectra, spectral densities, and the curvature of layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from landscape.results.base import Attributes, Floats, Labels, Measured, Over


@dataclass(frozen=True)
class SpectrumResult(Measured):
    """Eigenvalues from both ends of a curvature operator, each with the evidence for it."""

    kind: ClassVar[str] = "spectrum"
    eigenvalues: Annotated[Floats, Over("eigenpair")]  # (K,) descending: the top ones first, then the bottom ones
    ends: Annotated[NDArray[np.int8], Over("eigenpair")]  # (K,) +1 for the top end, −1 for the bottom end
    residuals: Annotated[Floats, Over("eigenpair")]  # (K,) ‖Hv − λv‖ with ‖v‖ = 1
    bounds: Annotated[Floats, Over("eigenpair")]  # (K,) on |λ − an exact eigenvalue|; see `attributes["bound"]`
    converged: Annotated[NDArray[np.bool_], Over("eigenpair")]  # (K,) bound ≤ tolerance · scale
    products: int  # operator-vector products used
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class DensityResult(Measured):
    """Spectral density of a curvature operator by stochastic Lanczos quadrature; it integrates to 1."""

    kind: ClassVar[str] = "density"
    eigenvalue: Annotated[Floats, Labels("eigenvalue")]  # (G,) ascending grid of the real line
    density: Annotated[Floats, Over("eigenvalue")]  # (G,) mean over the starting vectors
    stderr: Annotated[Floats, Over("eigenvalue")]  # (G,) standard error of that mean; NaN for one vector
    nodes: Annotated[Floats, Over("vector", "node")]  # (V, m) Ritz values of each starting vector
    weights: Annotated[Floats, Over("vector", "node")]  # (V, m) their weights, each row summing to 1
    sigma: float  # width of the Gaussian each Ritz value is smeared with: curves of other widths do not compare
    products: int  # operator-vector products used
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class LayersResult(Measured):
    """Curvature of each layer's own diagonal block, in the order of the network."""

    kind: ClassVar[str] = "layers"
    names: Annotated[tuple[str, ...], Labels("layer")]  # (L,)
    parameters: Annotated[NDArray[np.int64], Over("layer")]  # (L,) number of parameters
    top: Annotated[Floats, Over("layer")]  # (L,) largest eigenvalue of the block
    bounds: Annotated[Floats, Over("layer")]  # (L,) bound on its error
    converged: Annotated[NDArray[np.bool_], Over("layer")]  # (L,)
    trace: Annotated[Floats, Over("layer")]  # (L,)
    trace_stderr: Annotated[Floats, Over("layer")]  # (L,)
    products: int
    attributes: Attributes = field(default_factory=dict)
