"""JSON in the page: safe in a script element, arrays as float32."""

import base64
import json

import numpy as np
from cases import synthetic as make

from landscape.figures.blocks import json_payload
from landscape.figures.figure import figure

HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_embedded_json_cannot_end_its_script_and_has_no_nan():
    data = {HOSTILE: [float("nan"), float("inf"), 1 / 3], "&": np.linspace(0, 1, 40), "short": np.array([1.5, np.nan])}
    text = str(json_payload.script_json(data))
    assert not set("<>&") & set(text)
    loaded = json.loads(text)
    assert loaded[HOSTILE] == [None, None, 0.3333333]
    assert loaded["short"] == [1.5, None]
    assert loaded["&"]["dtype"] == "f4"
    back = np.frombuffer(base64.b64decode(loaded["&"]["bdata"]), "<f4")
    np.testing.assert_allclose(back, np.linspace(0, 1, 40), rtol=1e-6)


def test_figures_travel_as_float32_whatever_plotly_made_of_them():
    surface = make.surface()
    packed = json_payload.compact(json_payload.figure_json(figure(surface, log=False)))["data"][0]["z"]
    assert (packed["dtype"], packed["shape"]) == ("f4", "5, 7")
    back = np.frombuffer(base64.b64decode(packed["bdata"]), "<f4").reshape(5, 7)
    np.testing.assert_allclose(back, surface.grid()[0], rtol=1e-6)
