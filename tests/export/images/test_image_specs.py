"""Image specs of a file."""

import numpy as np
import pytest
from cases import kinds

from landscape.errors import LandscapeError
from landscape.export.images.image_specs import ImageOptions, image_specs

make = kinds.make


EVERYTHING = {**make.everything("a", "b"), **kinds.everything("a")}


def test_a_file_gives_an_image_for_each_name_that_compares_its_checkpoints():
    found = {spec.stem: spec for spec in image_specs(EVERYTHING, ImageOptions())}
    assert set(found) == {
        "plane-3d", "plane-contour", "line", "hessian", "sharpness", "history", "a..b",  # of two checkpoints
        "a-pca-3d", "a-pca-contour", "a-plane-series", "a-trajectory", "a-density", "a-dynamics", "a-layers",
        "a-convexity",
        "a-curves", "a-curves-over-rho", "a-curves-over-m", "study-sharpness",
    }  # fmt: skip
    assert [trace.type for trace in found["plane-3d"].figure.data].count("surface") == 2
    names = {trace.name for trace in found["a..b"].figure.data}
    assert {"between · train", "curve · train"} <= names
    assert found["a-trajectory"].figure.data[0].type == "contour"  # on the surface of its own plane
    assert any("PC" in str(found["a-trajectory"].figure.layout.xaxis.title.text) for _ in (1,))
    assert any("σ" in note for note in found["a-density"].notes)
    assert all(spec.width >= 400 and spec.height >= 300 for spec in found.values())


def test_images_can_be_one_for_each_result_or_of_one_metric_and_split():
    results = make.everything("a", "b")
    stems = [spec.stem for spec in image_specs(results, ImageOptions(views=("contour",)), separate=True)]
    assert len(stems) == len(set(stems)) == len(results)
    (plane,) = image_specs(
        {"a/plane": results["a/plane"]}, ImageOptions(metric="accuracy", split="test", views=("contour",))
    )
    np.testing.assert_array_equal(plane.figure.data[0].z, results["a/plane"].grid("accuracy")[1])
    with pytest.raises(LandscapeError, match="among loss, accuracy, error, got 'top5'"):
        image_specs(results, ImageOptions(metric="top5"))
    (gap,) = image_specs({"a/convexity": kinds.convexity()}, ImageOptions(metric="lambda_max", views=("contour",)))
    np.testing.assert_array_equal(gap.figure.data[0].z, kinds.convexity().grid("lambda_max")[0])


def test_seeds_are_drawn_as_bands_and_what_is_unfinished_or_cut_is_noted():
    runs = {f"{label}/history": run for label, run in kinds.seeded_histories("sam", 3).items()}
    (history,) = image_specs(runs, ImageOptions())
    assert {trace.name for trace in history.figure.data if trace.name} >= {"sam · train (median of 3)"}
    half = make.surface("a", nx=7, ny=5, change=lambda points: points[:40])
    (spec,) = image_specs({"a/plane": half}, ImageOptions(views=("3d",), clip=0.5))
    assert "10 of 35 points computed so far." in spec.notes
    assert any("off the scale" in note for note in spec.notes)
