"""Every kind of result in light and dark, with hostile names."""

import dataclasses

import numpy as np
import pytest
from cases import kinds

from landscape.figures.figure import compare, figure
from landscape.figures.style import theme

NAMES = [
    name for name in kinds.everything("a") if not name.endswith(("-d1", "-d2"))
]  # one of a family's lines is enough


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_has_a_figure_in_light_and_dark_with_the_shared_template(name):
    result = kinds.everything("a")[name]
    light, dark = figure(result), figure(result, dark=True)
    for drawn, look in ((light, theme.LIGHT), (dark, theme.DARK)):
        assert len(drawn.data) > 0
        assert drawn.layout.template.layout.paper_bgcolor == look.paper
        assert "a" in drawn.layout.title.text or name.startswith("study")
    parts = dark.to_plotly_json()
    parts["layout"].pop("template")
    assert not set(theme.dark_of_light()) & set(_strings(parts))  # no light colour is left on dark paper


HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_stay_text(name):
    result = kinds.everything(HOSTILE).get(name.replace("a/", f"{HOSTILE}/")) or kinds.everything("a")[name]
    if name == "a/layers":
        result = dataclasses.replace(result, names=(HOSTILE, *result.names[1:]))
    if name == "study/sharpness":
        result = dataclasses.replace(result, checkpoints=(HOSTILE, *result.checkpoints[1:]), measures=(HOSTILE,) * 3)
    drawn = compare({HOSTILE: result}, title=HOSTILE)
    words = [word for word in _strings(drawn.to_plotly_json()) if "onerror" in word]
    assert words
    assert all("<img" not in word and "</script" not in word for word in words)


def _strings(part):
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for key, item in part.items():
            if key not in ("meta", "bdata"):
                yield from _strings(item)
    elif isinstance(part, list | tuple | np.ndarray):
        for item in part:
            yield from _strings(item)
