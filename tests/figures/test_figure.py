"""Every result has a figure; mixtures are refused; names stay text; torch stays unloaded."""

import subprocess
import sys

import numpy as np
import pytest
from cases import synthetic as make

from landscape.errors import LandscapeError
from landscape.figures.figure import compare, figure

HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_every_result_has_a_figure():
    for result in make.everything("a", "b").values():
        assert len(figure(result).data) > 0
        assert len(figure(result, dark=True).data) > 0


def test_compare_refuses_a_mixture():
    with pytest.raises(LandscapeError, match="one kind to compare, got line, surface"):
        compare({"a": make.surface(), "b": make.line()})
    with pytest.raises(LandscapeError, match="got none"):
        compare({})


def test_hostile_names_stay_text_in_every_figure():
    for key, result in make.everything(HOSTILE, "b").items():
        drawn = compare({HOSTILE: result, "b": result}, title=HOSTILE) if "between" not in key else figure(result)
        words = [value for value in _strings(drawn.to_plotly_json()) if "onerror" in value]
        assert words, key
        # Labels in `meta` are data for the page's script, everything else is Plotly's pseudo-HTML.
        assert all("&lt;" in word and "<img" not in word and "</" not in word for word in words), key


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


def test_figures_never_load_torch():
    code = (
        "import sys, landscape.figures.figure, landscape.figures.report.page, landscape.results;"
        "heavy = {'torch', 'torchvision', 'sklearn', 'scipy', 'pandas'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
