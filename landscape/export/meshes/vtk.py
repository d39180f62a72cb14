"""Surfaces for ParaView: a structured grid in VTK's legacy binary format, with every measured number at its points."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from landscape.export.meshes.relief import Relief
from landscape.results import SampledPlane

POINT, CELL = 2, 32  # vtkDataSetAttributes::HIDDENPOINT and HIDDENCELL: what is not drawn
_TYPES = {"f8": "double", "u1": "unsigned_char", "i8": "vtktypeint64"}


def vtk_bytes(surface: SampledPlane, relief: Relief, *, title: str = "") -> bytes:
    """Return a surface as a .vtk file: x = α, y = β, z the relief's height in units of α, x running fastest.

    Values are stored as measured, NaN and inf included; points without a height lie on the ground and are hidden.

    Args:
        surface: The surface.
        relief: Its heights.
        title: A name for the first lines, where programs show it.
    """
    holes = relief.holes
    side = max(float(np.ptp(surface.alpha)), float(np.ptp(surface.beta)))
    x, y = np.meshgrid(surface.alpha, surface.beta)  # (Y, X): x runs fastest
    z = np.where(holes, 0.0, relief.height) * side
    file = io.BytesIO()
    said = " ".join(f"{title}: z is {relief.text}".split())
    file.write(b"# vtk DataFile Version 3.0\n")
    file.write(said.encode("ascii", "replace")[:255] + b"\n")
    file.write(b"BINARY\nDATASET STRUCTURED_GRID\n")
    file.write(f"DIMENSIONS {len(surface.alpha)} {len(surface.beta)} 1\n".encode())
    file.write(f"POINTS {x.size} double\n".encode())
    _write(file, np.stack([x, y, z], axis=-1), "f8")
    file.write(f"\nPOINT_DATA {x.size}".encode())
    for name, values in _columns(surface).items():
        _scalars(file, name, values, "f8")
    _scalars(file, "vtkGhostType", np.where(holes, POINT, 0), "u1")
    open_ = holes[:-1, :-1] | holes[1:, :-1] | holes[:-1, 1:] | holes[1:, 1:]
    file.write(f"\nCELL_DATA {open_.size}".encode())
    _scalars(file, "vtkGhostType", np.where(open_, CELL, 0), "u1")
    file.write(b"\n")
    return file.getvalue()


def _columns(surface: SampledPlane) -> dict[str, Any]:
    """Return every measured grid by a name without spaces: train_loss, train_loss_stderr, ..."""
    columns = {}
    for metric in surface.metrics:
        values, errors = surface.grid(metric), surface.grid(metric, column=surface.error)
        for index, split in enumerate(surface.splits):
            name = "_".join(f"{split}_{metric}".encode("ascii", "replace").decode().split()) or "values"
            columns[name], columns[f"{name}_{surface.error}"] = values[index], errors[index]
    return columns


def _scalars(file: io.BytesIO, name: str, values: Any, kind: str) -> None:
    file.write(f"\nSCALARS {name} {_TYPES[kind]} 1\nLOOKUP_TABLE default\n".encode())
    _write(file, values, kind)


def _write(file: io.BytesIO, values: Any, kind: str) -> None:
    file.write(np.ascontiguousarray(values, dtype=f">{kind}").tobytes())
