"""Dark figures hold no light colour."""

import json
import re

from cases import synthetic as make

from landscape.figures.figure import compare
from landscape.figures.style import theme


def test_dark_look_replaces_every_light_colour():
    swaps = theme.dark_of_light()
    assert len(set(swaps.values())) == len(swaps)
    used = set(
        re.findall(r"#[0-9a-f]{6}", json.dumps(compare({"a": make.line()}).to_plotly_json()["data"], default=str))
    )
    assert used
    assert used <= set(swaps)
