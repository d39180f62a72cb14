"""Results as NumPy archives: the fields by name, and the attributes as JSON."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np

from landscape.export.tables.csv_table import table
from landscape.results import Result, Sampled, SharpnessResult
from landscape.storage.json_values import to_json


def npz_bytes(result: Result) -> bytes:
    """Return a result as a compressed .npz that loads without pickles.

    Surfaces and lines hold each metric and its standard error (or bound) as [split, y, x] (NaN where not computed), the
    boolean `computed`, and the whole table as `points`.
    """
    arrays: dict[str, Any] = {"kind": np.array(result.kind), "attributes": np.array(to_json(result.attributes))}
    if isinstance(result, Sampled):
        arrays |= _grids(result)
    elif isinstance(result, SharpnessResult):
        arrays |= {name: np.array(values) for name, values in table(result).items()}
    else:
        for field in dataclasses.fields(result):
            value = getattr(result, field.name)
            if field.name == "columns":
                arrays |= dict(value)
            elif field.name not in ("attributes", "finished"):
                arrays[field.name] = np.array(value)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _grids(result: Sampled) -> dict[str, Any]:
    axes = {name: getattr(result, name) for name in ("alpha", "beta") if hasattr(result, name)}
    grids = {}
    for metric in result.metrics:
        grids[metric] = result.grid(metric)
        grids[f"{metric}_{result.error}"] = result.grid(metric, column=result.error)
    names = {"splits": np.array(result.splits), "metrics": np.array(result.metrics)}
    return {**axes, **names, **grids, "computed": result.computed(), "points": result.points}
