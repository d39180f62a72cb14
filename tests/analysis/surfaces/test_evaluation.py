"""Precision and batch size of surfaces."""

from cases.surface_problem import classifier

from landscape.analysis.planes import random_plane
from landscape.analysis.surfaces.evaluation import Evaluation, EvaluationSettings, choose_settings
from landscape.analysis.surfaces.surface import surface


def test_settings_asked_for_are_taken() -> None:
    found = classifier(precision="float32")
    chosen = choose_settings(found, random_plane(found), [(0.0, 0.0)], Evaluation(precision="bfloat16"))
    assert (chosen.precision, chosen.precision_error) == ("bfloat16", None)
    settings = EvaluationSettings("bfloat16", None, 5)
    result = surface(found, points=3, evaluation=Evaluation(settings=settings))
    assert result.attributes["batch_size"] == 5
    assert result.attributes["precision_error"] is None
