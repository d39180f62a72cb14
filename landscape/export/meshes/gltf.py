"""Coloured meshes for slides and viewers: glTF 2.0 in one binary file (.glb)."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np
from PIL import Image

from landscape.export.meshes.mesh import Mesh, sheet
from landscape.export.meshes.relief import Relief
from landscape.figures.style import theme
from landscape.results import Floats

TEXELS = 256  # of the colour scale
_FLOAT, _UINT = 5126, 5125  # glTF's component types
_VERTICES, _INDICES = 34962, 34963  # and targets of buffer views


def glb_bytes(relief: Relief, *, name: str = "surface") -> bytes:
    """Return a relief as a coloured sheet, its longer side 1 m, centred, seen from both sides.

    glTF's y axis points up: α runs along x, the height along y, β along −z.

    Args:
        relief: The relief.
        name: What viewers call it.
    """
    mesh = sheet(relief)
    centre = np.array([relief.x[-1] / 2, relief.y[-1] / 2, 0.0])
    share = relief.share.ravel()[mesh.points]
    buffers = [
        _upright(mesh.vertices - centre).astype("<f4"),
        _upright(_normals(mesh)).astype("<f4"),
        np.stack([(0.5 + (TEXELS - 1) * share) / TEXELS, np.full(len(share), 0.5)], axis=-1).astype("<f4"),
        mesh.faces.ravel().astype("<u4"),
    ]
    blocks = [buffer.tobytes() for buffer in buffers] + [_texture(relief.colours)]
    offsets = np.cumsum([0, *(_padded(len(block)) for block in blocks)]).tolist()
    targets = [_VERTICES, _VERTICES, _VERTICES, _INDICES, None]
    views = [
        {"buffer": 0, "byteOffset": offset, "byteLength": len(block)} | ({"target": target} if target else {})
        for offset, block, target in zip(offsets, blocks, targets, strict=False)
    ]
    document = {
        "asset": {"version": "2.0", "generator": "landscape"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"name": name, "primitives": [_PRIMITIVE], "extras": {"heights": relief.words}}],
        "materials": [_MATERIAL],
        "textures": [{"source": 0, "sampler": 0}],
        "images": [{"bufferView": 4, "mimeType": "image/png"}],
        "samplers": [{"magFilter": 9729, "minFilter": 9729, "wrapS": 33071, "wrapT": 33071}],
        "accessors": [
            _accessor(0, buffers[0], "VEC3", limits=True),
            _accessor(1, buffers[1], "VEC3"),
            _accessor(2, buffers[2], "VEC2"),
            {"bufferView": 3, "componentType": _UINT, "count": len(buffers[3]), "type": "SCALAR"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": offsets[-1]}],
    }
    return _container(document, b"".join(block.ljust(_padded(len(block)), b"\0") for block in blocks))


_PRIMITIVE = {"attributes": {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}, "indices": 3, "material": 0}
_MATERIAL: dict[str, Any] = {
    "doubleSided": True,
    "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 0.9},
}


def _upright(vectors: Floats) -> Floats:
    """Return vectors with z up as vectors with y up, right-handed as before."""
    return np.stack([vectors[:, 0], vectors[:, 2], -vectors[:, 1]], axis=-1)


def _normals(mesh: Mesh) -> Floats:
    """Return the normal at each vertex: the mean of its triangles', weighted by their areas."""
    corners = mesh.triangles
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros(mesh.vertices.shape)
    for corner in range(3):
        np.add.at(normals, mesh.faces[:, corner], faces)
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True))


def _texture(colours: theme.Colorscale) -> bytes:
    """Return the colour scale as a PNG, low to the left."""
    places = [place for place, _ in colours]
    channels = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for _, colour in colours])
    shares = np.linspace(0, 1, TEXELS)
    row = np.stack([np.interp(shares, places, channels[:, channel]) for channel in range(3)], axis=-1)
    file = io.BytesIO()
    Image.fromarray(np.repeat(np.round(row)[None].astype(np.uint8), 4, axis=0)).save(file, "PNG")
    return file.getvalue()


def _accessor(view: int, values: Any, kind: str, *, limits: bool = False) -> dict[str, Any]:
    found = {"bufferView": view, "componentType": _FLOAT, "count": len(values), "type": kind}
    return found | ({"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()} if limits else {})


def _container(document: dict[str, Any], binary: bytes) -> bytes:
    """Return a GLB: a header, the JSON padded with spaces, the binary padded with zeros."""
    text = json.dumps(document, separators=(",", ":")).encode()
    text = text.ljust(_padded(len(text)))
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _padded(size: int) -> int:
    return -(-size // 4) * 4
