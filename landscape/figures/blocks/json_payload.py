"""JSON embedded in the page: compact, and unable to end its script element whatever names it holds."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from numpy.typing import NDArray

_LONG = 16  # arrays from this size on travel as base64 of float32, about seven digits


def script_json(value: object) -> Markup:
    """Return JSON for a `<script type="application/json">`: no `<`, `>` or `&` in it, no NaN, no line separators."""
    text = json.dumps(compact(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # nothing in it can be markup any more


def compact(value: Any) -> Any:
    """Return JSON-able data: floats with seven digits, inf and NaN as null, long float arrays as Plotly's base64."""
    match value:
        case None | bool() | str():
            return value
        case int() | np.integer():
            return int(value)
        case float() | np.floating():
            return float(f"{value:.7g}") if math.isfinite(value) else None
        case np.ndarray():
            return _array(value)
        case {"dtype": str(), "bdata": str()}:
            return _array(_unpacked(value))
        case Mapping():
            return {str(key): compact(item) for key, item in value.items()}
        case list() | tuple():
            return [compact(item) for item in value]
    return str(value)


def figure_json(figure: go.Figure) -> dict[str, Any]:
    """Return a figure's traces, layout and frames without its template, which the page holds once per look."""
    drawn: dict[str, Any] = figure.to_plotly_json()
    layout = {key: item for key, item in drawn["layout"].items() if key != "template"}
    frames = [frame.to_plotly_json() for frame in figure.frames]
    return {"data": drawn["data"], "layout": layout, **({"frames": frames} if frames else {})}


def packed(array: NDArray[Any]) -> dict[str, str]:
    """Return an array as plotly.js reads it: base64 of float32, in which NaN and inf survive."""
    with np.errstate(over="ignore"):
        data = np.ascontiguousarray(array, dtype="<f4")
    payload = {"dtype": "f4", "bdata": base64.b64encode(data.tobytes()).decode("ascii")}
    return payload | {"shape": ", ".join(map(str, array.shape))} if array.ndim > 1 else payload


def _unpacked(value: Mapping[str, Any]) -> NDArray[Any]:
    """Return the array in Plotly's base64, as Python's Plotly makes it of every array in a figure."""
    array = np.frombuffer(base64.b64decode(value["bdata"]), dtype=np.dtype(value["dtype"]).newbyteorder("<"))
    return array.reshape([int(size) for size in str(value.get("shape", len(array))).split(",")])


def _array(array: NDArray[Any]) -> Any:
    if array.dtype.kind != "f" or array.size < _LONG:
        return compact(array.tolist())
    return packed(array)
