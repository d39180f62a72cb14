"""Directions along eigenvectors, by name."""

import numpy as np
import pytest
import torch
from cases.small_models import quadratic

from landscape.analysis.planes import (
    eigenvector_directions,
    plane_along,
)
from landscape.errors import LandscapeError
from landscape.results import SpectrumResult


def test_eigenvectors_by_name() -> None:
    model, found = quadratic()
    values, vectors = torch.linalg.eigh(model.A)
    order = [5, 4, 1, 0]  # top1, top2, bottom2, bottom1
    bounds = np.full(4, 1e-9)
    spectrum = SpectrumResult(
        values[order].numpy(), np.array([1, 1, -1, -1], np.int8), bounds, bounds, bounds < 1, 10, {"operator": "ggn"}
    )
    named = [{"w": vectors[:, k].view(2, 3)} for k in order]
    top, bottom = eigenvector_directions(spectrum, named, ("top1", "bottom1"))
    plane = plane_along(found, top, bottom)
    assert plane.provenance["kind"] == "eigenvectors"
    assert plane.provenance["along"] == ["top1", "bottom1"]
    assert [part["eigenvalue"] for part in plane.provenance["parts"]] == [values[5].item(), values[0].item()]
    assert [part["operator"] for part in plane.provenance["parts"]] == ["ggn", "ggn"]
    curvature = found.loss(plane.at(1)) + found.loss(plane.at(-1)) - 2 * found.loss()
    assert curvature == pytest.approx(values[5].item(), rel=1e-9)
    curvature = found.loss(plane.at(0, 1)) + found.loss(plane.at(0, -1)) - 2 * found.loss()
    assert curvature == pytest.approx(values[0].item(), rel=1e-6)
    with pytest.raises(LandscapeError, match="no eigenvector 'top3'; expected one of top1, top2, bottom2, bottom1"):
        eigenvector_directions(spectrum, named, ("top3",))
