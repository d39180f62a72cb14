"""Coloured meshes for slides and viewers: glTF 2.0 in one binary file (.glb), written by trimesh."""

from __future__ import annotations

import numpy as np
from PIL import Image

from landscape.export.meshes.mesh import import_trimesh, sheet
from landscape.export.meshes.relief import Relief
from landscape.figures.style import theme
from landscape.results import Floats

TEXELS = 256  # of the colour scale


def glb_bytes(relief: Relief, *, name: str = "surface") -> bytes:
    """Return a relief as a coloured sheet, its longer side 1 m, centred, seen from both sides.

    glTF's y axis points up: α runs along x, the height along y, β along −z.

    Args:
        relief: The relief.
        name: Name of the mesh in viewers.

    Raises:
        LandscapeError: trimesh is missing, or there are too few points.
    """
    trimesh = import_trimesh()
    mesh = sheet(relief)
    centre = np.array([relief.x[-1] / 2, relief.y[-1] / 2, 0.0])
    share = relief.share.ravel()[mesh.points]
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=_texture(relief.colours), metallicFactor=0.0, roughnessFactor=0.9, doubleSided=True
    )
    uv = np.stack([(0.5 + (TEXELS - 1) * share) / TEXELS, np.full(len(share), 0.5)], axis=-1)
    body = trimesh.Trimesh(
        _upright(mesh.vertices - centre),
        mesh.faces,
        visual=trimesh.visual.TextureVisuals(uv=uv, material=material),
        metadata={"heights": relief.text},
        process=False,  # which would merge vertices
    )
    return bytes(trimesh.Scene({name: body}).export(file_type="glb", include_normals=True))


def _upright(vectors: Floats) -> Floats:
    """Return vectors with z up as vectors with y up, right-handed as before."""
    return np.stack([vectors[:, 0], vectors[:, 2], -vectors[:, 1]], axis=-1)


def _texture(colours: theme.Colorscale) -> Image.Image:
    """Return the colour scale as an image, low values on the left."""
    stops = [stop for stop, _ in colours]
    channels = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for _, colour in colours])
    shares = np.linspace(0, 1, TEXELS)
    row = np.stack([np.interp(shares, stops, channels[:, channel]) for channel in range(3)], axis=-1)
    image = Image.fromarray(np.repeat(np.round(row)[None].astype(np.uint8), 4, axis=0))
    image.format = "PNG"
    return image
