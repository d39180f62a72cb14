"""What a plane cannot show, in numbers."""

import math

from cases import kinds
from cases import synthetic as make

from landscape.figures.report.slice_limits import slice_limits
from landscape.figures.report.summary import checkpoints, key_numbers

DIRECTIONS = {"kind": "random", "seed": 0, "norms": [2.0, 2.0], "cosine": -0.0013}


def limits(results):
    named = checkpoints(results)
    planes = {key: result for key, result in results.items() if result.kind == "surface"}
    return slice_limits(planes, named, key_numbers(named))


def test_the_curvature_along_the_axes_is_set_against_the_steepest_and_the_mean():
    bowl = make.surface(
        "a", directions=DIRECTIONS, precision_error=1e-3, value=lambda a, b, s: 0.1 + 1.8 * a * a + 0.9 * b * b
    )
    curvature, cosine = limits({"a/plane": bowl, "a/hessian": make.spectrum("a"), "a/density": kinds.density("a")})
    assert "is 0.90000 ± 0.00055 and 0.45000 ± 0.00098 for a, where λ_max is 9.000 and trace/n" in curvature
    assert curvature.endswith("the steepest direction, 10 to 20 times as steep, is not in this picture.")
    expected = math.sqrt(2 / (math.pi * 269_722))
    assert f"|cos| = 0.0013 here, √(2/πn) = {expected:.2g} expected" in cosine


def test_the_curvature_is_left_out_where_it_is_not_the_hessian_s_or_too_uncertain():
    spectrum = {"a/hessian": make.spectrum("a")}
    for surface in (
        make.surface("a", directions=DIRECTIONS, batchnorm="recalibrated"),
        make.surface("a", directions=DIRECTIONS, precision_error=5.0),
        make.surface("a", directions={"kind": "random", "seed": 0}),  # its norms are not recorded
    ):
        (cosine,) = limits({"a/plane": surface} | spectrum)
        assert cosine.startswith("Two random directions among 269,722 parameters")
    assert len(limits({"a/plane": make.surface("a", directions=DIRECTIONS)})) == 1  # no λ_max to set it against


def test_other_planes_have_no_such_sentences():
    assert limits({"a/pca": kinds.pca_surface("a"), "a/hessian": make.spectrum("a")}) == []
