"""What other programs are given: read back by them where they are at hand, and checked by hand."""

import asyncio
import csv
import io
import json
import struct
import sys
from collections import Counter

import meshio
import numpy as np
import pandas
import pytest
import trimesh
from cases import kinds

from landscape.errors import LandscapeError
from landscape.export.images import render
from landscape.export.images.image_specs import ImageOptions, image_specs
from landscape.export.images.render import ImageFile, styled, write_images
from landscape.export.meshes.gltf import glb_bytes
from landscape.export.meshes.mesh import sheet, solid
from landscape.export.meshes.relief import reliefs
from landscape.export.meshes.stl import stl_bytes
from landscape.export.meshes.vtk import vtk_bytes
from landscape.export.tables.csv_table import csv_bytes
from landscape.export.tables.npz_archive import npz_bytes
from landscape.figures.figure import compare
from landscape.figures.style import theme
from landscape.results import LineResult, Sampled, SurfaceResult

make = kinds.make
EVERYTHING = {**make.everything("a", "b"), **kinds.everything("a")}


def wild(points):
    """A corner that is no number, another that diverges, and a point in the middle that was not computed."""
    corner = (points["beta"] == 0.5) & (points["metric"] == 0)
    points["value"][corner & (points["alpha"] == 1)] = np.nan
    points["value"][corner & (points["alpha"] == -1)] = np.inf
    return points[~((points["alpha"] == 0) & (points["beta"] == 0))]


def relief(surface, **options):
    return reliefs({"a": surface}, **{"log": False, **options})["a"]


# tables and arrays


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_table_has_a_row_for_each_observation_with_all_digits(name):
    result = EVERYTHING[name]
    rows = list(csv.DictReader(io.StringIO(csv_bytes(result).decode("utf-8"))))
    assert rows
    if isinstance(result, Sampled):
        assert len(rows) == len(result.points)
        for row in rows:
            grid = result.grid(row["metric"])[result.splits.index(row["split"])]
            x = np.flatnonzero(result.alpha == float(row["alpha"]))[0]
            at = (np.flatnonzero(result.beta == float(row["beta"]))[0], x) if isinstance(result, SurfaceResult) else x
            np.testing.assert_array_equal(float(row["value"]), grid[at])
    if name == "study/sharpness":
        assert len(rows) == result.values.size
        assert [float(row["value"]) for row in rows[:8]] == result.values[0].tolist()
        assert {(row["measure"], row["tau"]) for row in rows} == set(
            zip(result.measures, map(str, result.tau.tolist()), strict=True)
        )
    if name == "a/density":
        assert [float(row["density"]) for row in rows] == result.density.tolist()
        assert {row["sigma"] for row in rows} == {"0.5"}


def test_tables_are_what_pandas_reads_even_nan_and_inf_and_commas():
    surface = make.surface("a", nx=3, ny=3, change=wild)
    table = pandas.read_csv(io.BytesIO(csv_bytes(surface)))
    loss = table[(table["metric"] == "loss") & (table["split"] == "train")]
    assert len(loss) == 8
    assert np.isposinf(loss["value"]).sum() == 1
    assert loss["value"].isna().sum() == 1
    sharpness = pandas.read_csv(io.BytesIO(csv_bytes(make.sharpness())))
    assert list(sharpness["label"]) == [measure.label for measure in make.sharpness().measures]


@pytest.mark.parametrize("name", EVERYTHING)
def test_archives_hold_the_fields_and_load_without_pickles(name):
    result = EVERYTHING[name]
    with np.load(io.BytesIO(npz_bytes(result)), allow_pickle=False) as archive:
        assert str(archive["kind"]) == result.kind
        assert json.loads(str(archive["attributes"]))["checkpoint"] == result.attributes["checkpoint"]
        if isinstance(result, Sampled):
            for metric in result.metrics:
                np.testing.assert_array_equal(archive[metric], result.grid(metric))
            np.testing.assert_array_equal(archive["computed"], result.computed())
            np.testing.assert_array_equal(archive["points"], result.points)
            assert ("beta" in archive) is not isinstance(result, LineResult)
        if name == "a/density":
            np.testing.assert_array_equal(archive["weights"], result.weights)
            assert archive["sigma"] == 0.5


# grids and meshes


def test_a_vtk_grid_runs_along_alpha_in_x_and_beta_in_y_and_holds_the_values_as_measured(tmp_path):
    surface = make.surface("a", nx=7, ny=5, change=wild)
    path = tmp_path / "a.vtk"
    path.write_bytes(vtk_bytes(surface, relief(surface), title="a/plane"))
    mesh = meshio.read(path)
    points = mesh.points.reshape(5, 7, 3)
    np.testing.assert_array_equal(points[..., 0], np.broadcast_to(surface.alpha, (5, 7)))
    np.testing.assert_array_equal(points[..., 1], np.broadcast_to(surface.beta[:, None], (5, 7)))
    for s, split in enumerate(surface.splits):
        for metric in surface.metrics:
            np.testing.assert_array_equal(mesh.point_data[f"{split}_{metric}"].reshape(5, 7), surface.grid(metric)[s])
    loss = surface.grid()[0]
    known = np.isfinite(loss)
    z = points[..., 2]
    low, high = z[known].min(), z[known].max()
    share = (loss[known] - loss[known].min()) / np.ptp(loss[known])
    np.testing.assert_allclose(z[known], low + (high - low) * share)  # heights are the loss, scaled
    assert high == pytest.approx(0.5 * 2)  # half of the longer side, α from −1 to 1
    assert z[4, 0] == high  # inf is level with the top
    hidden = mesh.point_data["vtkGhostType"].reshape(5, 7) == 2
    np.testing.assert_array_equal(hidden, np.isnan(loss))
    cells = mesh.cell_data["vtkGhostType"][0].reshape(4, 6) == 32
    assert cells.sum() == 4 + 1  # around the middle, and at the corner


def test_a_solid_is_watertight_stands_on_a_flat_base_and_has_the_volume_of_the_relief():
    surface = make.surface("a", nx=9, ny=7)
    made = relief(surface)
    loaded = trimesh.load(io.BytesIO(stl_bytes(made, millimetres=80)), file_type="stl")
    assert loaded.is_watertight
    assert loaded.is_winding_consistent
    low, high = loaded.bounds
    np.testing.assert_allclose(low, 0, atol=1e-6)
    np.testing.assert_allclose(high, [80, 40, 80 * (0.5 + 0.04)], rtol=1e-6)  # α spans 2, β spans 1
    below = np.isclose(loaded.triangles_center[:, 2], 0)
    assert (loaded.face_normals[below][:, 2] < 0).all()
    assert loaded.area_faces[below].sum() == pytest.approx(80 * 40)
    cell = (80 / 8) * (40 / 6)
    inside = made.height[1:-1, 1:-1].sum() + 0.25 * (made.height[::6, ::8].sum())
    edges = 0.5 * (made.height[0, 1:-1].sum() + made.height[-1, 1:-1].sum() + made.height[1:-1, [0, -1]].sum())
    trapezoid = 80 * cell * (inside + edges) + 0.04 * 80 * 80 * 40
    assert loaded.volume == pytest.approx(trapezoid, rel=0.01)  # positive: outwards


def edges_of(faces):
    return Counter((int(f[i]), int(f[(i + 1) % 3])) for f in faces for i in range(3))


@pytest.mark.parametrize("seed", range(6))
def test_solids_stay_closed_whatever_is_missing(seed):
    """Every directed edge once, and its reverse once: closed and consistent, by counting."""
    generator = np.random.default_rng(seed)
    missing = generator.uniform(size=(9, 8)) < (0.05, 0.1, 0.2, 0.3, 0.35, 0.4)[seed]

    def holes(points):
        at = {(a, b) for (y, x) in np.argwhere(missing) for a, b in [(alpha[x], beta[y])]}
        keep = [(row["alpha"], row["beta"]) not in at for row in points]
        return points[np.array(keep)]

    alpha, beta = np.linspace(-1, 1, 8), np.linspace(-0.5, 0.5, 9)
    mesh = solid(relief(make.surface("a", nx=8, ny=9, change=holes)))
    edges = edges_of(mesh.faces)
    assert set(edges.values()) == {1}
    assert all((b, a) in edges for a, b in edges)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces).volume > 0


def test_cells_that_touch_at_a_corner_only_are_parted():
    def cross(points):  # what is left are two cells that share the point in the middle
        gone = {(-1.0, 0.5), (1.0, -0.5)}
        return points[[(float(r["alpha"]), float(r["beta"])) not in gone for r in points]]

    mesh = solid(relief(make.surface("a", nx=3, ny=3, change=cross)))
    loaded = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert loaded.is_watertight
    assert len(sheet(relief(make.surface("a", nx=3, ny=3, change=cross))).faces) == 4


def test_a_glb_is_valid_gltf_with_alpha_along_x_height_up_and_beta_towards_the_back():
    surface = make.surface("a", nx=7, ny=5, change=wild)
    made = relief(surface)
    content = glb_bytes(made, name="a/plane")
    magic, version, length, size, kind = struct.unpack_from("<4sII I4s", content)
    assert (magic, version, length, kind) == (b"glTF", 2, len(content), b"JSON")
    document = json.loads(content[20 : 20 + size])
    binary_size, binary_kind = struct.unpack_from("<I4s", content, 20 + size)
    assert binary_kind == b"BIN\0"
    assert document["buffers"][0]["byteLength"] == binary_size
    assert size % 4 == binary_size % 4 == 0
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= binary_size

    mesh = next(iter(trimesh.load(io.BytesIO(content), file_type="glb").geometry.values()))
    x, height, depth = mesh.vertices.T
    assert np.ptp(x) == pytest.approx(1)
    assert np.ptp(depth) == pytest.approx(0.5)
    alpha, beta = 2 * x, -2 * depth  # centred, the longer side 1
    loss = np.array([make.loss(a, b, 0) for a, b in zip(alpha, beta, strict=True)])
    ordinary = ~((alpha < -0.99) & (beta > 0.49))  # where it diverges
    slope, offset = np.polyfit(loss[ordinary], height[ordinary], 1)
    np.testing.assert_allclose(height[ordinary], slope * loss[ordinary] + offset, atol=1e-5)
    assert slope > 0
    assert (mesh.face_normals[:, 1] > 0).all()  # seen from above
    assert len(mesh.faces) == 2 * (6 * 4 - 4 - 1)
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    np.testing.assert_allclose(accessor["min"], mesh.vertices.min(axis=0), atol=1e-6)
    np.testing.assert_allclose(accessor["max"], mesh.vertices.max(axis=0), atol=1e-6)
    texture = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"))
    first, last = (
        tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in (theme.SEQUENTIAL[0][1], theme.SEQUENTIAL[-1][1])
    )
    assert (tuple(texture[0, 0]), tuple(texture[0, -1])) == (first, last)
    u = mesh.visual.uv[:, 0]
    assert u[np.argmin(height)] == pytest.approx(0.5 / 256)
    assert u[np.argmax(height)] == pytest.approx(1 - 0.5 / 256)


def test_surfaces_of_one_name_share_one_scale_and_what_is_cut_off_is_said():
    low, high = make.surface("a"), make.surface("b", value=lambda a, b, s: 3 * make.loss(a, b, s))
    found = reliefs({"a": low, "b": high}, log=False)
    assert found["b"].share.max() == 1
    assert found["a"].share.max() == pytest.approx(
        (low.grid()[0].max() - low.grid()[0].min()) / (high.grid()[0].max() - low.grid()[0].min())
    )
    cut = relief(low, clip=0.5)
    assert (cut.share == 1).sum() == (low.grid()[0] >= 0.5).sum()
    assert "off the scale" in cut.words
    assert "holes" in relief(make.surface("a", change=wild)).words
    assert relief(low, tall=0.0).height.max() == 0


def test_what_cannot_be_built_is_said():
    with pytest.raises(LandscapeError, match="at least 2 x 2"):
        reliefs({"a": make.surface("a", nx=1, ny=3)})
    with pytest.raises(LandscapeError, match="nothing to build"):
        sheet(relief(make.surface("a", change=lambda points: points[:0])))


@pytest.mark.parametrize("write", [stl_bytes, glb_bytes])
def test_a_missing_trimesh_is_one_line_with_its_remedy(monkeypatch, write):
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(LandscapeError, match=r"trimesh, which is missing; pip install 'landscape\[mesh\]'"):
        write(relief(make.surface("a")))


# images


def test_a_file_gives_an_image_for_each_name_that_compares_its_checkpoints():
    found = {spec.stem: spec for spec in image_specs(EVERYTHING, ImageOptions())}
    assert set(found) == {
        "plane-3d", "plane-contour", "line", "hessian", "sharpness", "history", "a..b",  # of two checkpoints
        "a-pca-3d", "a-pca-contour", "a-trajectory", "a-density", "a-layers", "a-convexity",
        "a-curves", "a-curves-over-rho", "a-curves-over-m", "study-sharpness",
    }  # fmt: skip
    assert [trace.type for trace in found["plane-3d"].figure.data].count("surface") == 2
    names = {trace.name for trace in found["a..b"].figure.data}
    assert {"between · train", "curve · train"} <= names
    assert found["a-trajectory"].figure.data[0].type == "contour"  # on the surface of its own plane
    assert any("PC" in str(found["a-trajectory"].figure.layout.xaxis.title.text) for _ in (1,))
    assert any("σ" in note for note in found["a-density"].notes)
    assert all(spec.width >= 400 and spec.height >= 300 for spec in found.values())


def test_images_can_be_one_for_each_result_or_of_one_metric_and_split():
    results = make.everything("a", "b")
    stems = [spec.stem for spec in image_specs(results, ImageOptions(views=("contour",)), separate=True)]
    assert len(stems) == len(set(stems)) == len(results)
    (plane,) = image_specs(
        {"a/plane": results["a/plane"]}, ImageOptions(metric="accuracy", split="test", views=("contour",))
    )
    np.testing.assert_array_equal(plane.figure.data[0].z, results["a/plane"].grid("accuracy")[1])
    with pytest.raises(LandscapeError, match="among loss, accuracy, error, got 'top5'"):
        image_specs(results, ImageOptions(metric="top5"))
    (gap,) = image_specs({"a/convexity": kinds.convexity()}, ImageOptions(metric="lambda_max", views=("contour",)))
    np.testing.assert_array_equal(gap.figure.data[0].z, kinds.convexity().grid("lambda_max")[0])


def test_seeds_are_drawn_as_bands_and_what_is_unfinished_or_cut_is_noted():
    runs = {f"{label}/history": run for label, run in kinds.seeded_histories("sam", 3).items()}
    (history,) = image_specs(runs, ImageOptions())
    assert {trace.name for trace in history.figure.data if trace.name} >= {"sam · train (median of 3)"}
    half = make.surface("a", nx=7, ny=5, change=lambda points: points[:40])
    (spec,) = image_specs({"a/plane": half}, ImageOptions(views=("3d",), clip=0.5))
    assert "10 of 35 points computed so far." in spec.notes
    assert any("off the scale" in note for note in spec.notes)


def test_text_is_scaled_and_its_font_replaced_everywhere():
    figure = compare({"a": make.line("a"), "b": make.line("b")}, title="T")
    larger = styled(figure, font="Times New Roman", size=26)
    plain, big = figure.layout.template.layout, larger.layout.template.layout
    assert big.xaxis.tickfont.size == 2 * plain.xaxis.tickfont.size
    assert big.xaxis.title.font.size == 2 * plain.xaxis.title.font.size
    assert big.font.size == 2 * plain.font.size == 26
    assert big.font.family == "Times New Roman"
    assert figure.layout.template.layout.font.size == 13  # the figure itself stays as it was
    assert larger.layout.font.family == "Times New Roman"
    note = styled(figure_with_note(), size=26)
    assert note.layout.annotations[0].font.size == 2 * figure_with_note().layout.annotations[0].font.size


def figure_with_note():
    return compare({"a": make.surface("a"), "b": make.surface("b")}, view="contour").update_annotations(font_size=16)


def test_a_missing_kaleido_or_browser_is_one_line_with_its_remedy(tmp_path, monkeypatch):
    images = [ImageFile(compare({"a": make.line()}), tmp_path / "a.png", 400, 300)]
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "nothing"))
    pytest.importorskip("kaleido")
    with pytest.raises(LandscapeError, match=r"BROWSER_PATH names .*; install one") as caught:
        write_images(images)
    assert "\n" not in str(caught.value)
    monkeypatch.delenv("BROWSER_PATH")

    class ChromeNotFoundError(RuntimeError):
        pass

    def refuse(coroutine):
        coroutine.close()
        raise ChromeNotFoundError("a long text\nof several lines")

    monkeypatch.setattr(asyncio, "run", refuse)
    with pytest.raises(LandscapeError, match=r"no Chromium or Chrome was found.*BROWSER_PATH") as caught:
        write_images(images)
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(LandscapeError, match=r"pip install 'landscape\[export\]'"):
        write_images(images)
    assert not list(tmp_path.iterdir())
    write_images([])


@pytest.mark.browser
def test_images_are_drawn_in_a_real_browser_in_every_format(tmp_path):
    from PIL import Image

    figure = compare({"a": make.surface("a")}, title="")
    paths = [tmp_path / name for name in ("a.png", "a.svg", "a.pdf")]
    drawn = []
    write_images([ImageFile(figure, path, 420, 300) for path in paths], scale=2, on_image=lambda: drawn.append(1))
    assert len(drawn) == 3
    image = np.asarray(Image.open(paths[0]).convert("RGB")).astype(int)
    assert image.shape == (600, 840, 3)
    purple = np.abs(image - np.array([0x44, 0x01, 0x54])).sum(axis=-1) < 90
    assert purple.sum() > 50  # the basin: WebGL was drawn
    assert paths[1].read_text("utf-8").startswith("<svg")
    assert paths[2].read_bytes().startswith(b"%PDF")


def test_the_formats_of_images_are_those_of_the_command():
    from landscape.cli.commands import export

    assert export.IMAGES == render.FORMATS
