"""`landscape export` as users type it; the content of the files is checked in tests/export."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import kinds

from landscape.export.images import render
from landscape.results import Result
from landscape.storage.result_file import ResultFile

make = kinds.make


def store(path: str, results: dict[str, Result]) -> None:
    with ResultFile(path) as file:
        for name, result in results.items():
            file.stage(name, result)
        file.put(name, result)


@pytest.fixture
def file(run) -> str:
    """A file of two checkpoints, in the folder the command runs in."""
    everything = make.everything("net-sam", "net-adam")
    store("f.h5", everything)
    return "f.h5"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[render.ImageFile]:
    """The images that a browser would have drawn."""
    found: list[render.ImageFile] = []

    def note(images, *, scale, on_image) -> None:
        found.extend(images)

    monkeypatch.setattr(render, "write_images", note)
    return found


def test_the_latest_file_becomes_tables_in_a_folder_of_its_name(run, file: str) -> None:
    outcome = run("export", "--format", "csv,npz", "--name", "plane,net-sam/hessian")
    assert outcome.code == 0
    assert {path.name for path in Path("exports/f").iterdir()} == {
        f"{name}.{form}" for name in ("net-sam-plane", "net-adam-plane", "net-sam-hessian") for form in ("csv", "npz")
    }
    assert "wrote 6 files to exports/f" in outcome.err
    assert outcome.out == ""


def test_surfaces_become_meshes_on_one_scale_with_what_was_cut_off_said(run, file: str) -> None:
    outcome = run("export", file, "--format", "vtk,stl,glb", "--out", "my meshes", "--clip", "1", "--relief", "0.3")
    assert outcome.code == 0
    names = {path.name for path in Path("my meshes").iterdir()}
    assert names == {f"net-{who}-plane.{form}" for who in ("sam", "adam") for form in ("vtk", "stl", "glb")}
    assert "net-sam-plane.stl: train loss" in outcome.err
    assert "off the scale" in outcome.err


def test_images_compare_the_checkpoints_of_a_name_under_their_short_names(run, file: str, drawn) -> None:
    outcome = run("export", file, "--name", "plane,line", "--format", "svg", "--view", "contour", "--height", "333")
    assert outcome.code == 0
    assert [image.path.name for image in drawn] == ["plane-contour.svg", "line.svg"]
    assert {image.height for image in drawn} == {333}
    assert [note.text for note in drawn[0].figure.layout.annotations] == ["sam", "adam"]
    assert {trace.name for trace in drawn[1].figure.data if trace.name} >= {"sam · train", "adam · test"}


def test_names_fonts_and_the_width_of_a_column(run, file: str, drawn) -> None:
    words = ["--labels", "SAM,Adam", "--font", "Times New Roman", "--font-size", "16", "--width", "480", "--dark"]
    outcome = run("export", file, "--name", "line,history", *words)
    assert outcome.code == 0
    for image in drawn:
        assert image.width == 480
        assert {trace.name.split(" · ")[0] for trace in image.figure.data if trace.name} == {"SAM", "Adam"}
        layout = image.figure.layout
        assert layout.template.layout.font.size == 16
        assert layout.template.layout.font.family == "Times New Roman"
        assert layout.template.layout.paper_bgcolor == "#121417"
        assert layout.yaxis.domain[0] > layout.yaxis2.domain[1]  # one above the other
    refused = run("export", file, "--labels", "SAM")
    refused.refused("got 1 labels; expected one for each of net-sam, net-adam")


def test_surfaces_and_all_else_can_be_drawn_on_dark_paper(run, file: str, drawn) -> None:
    assert run("export", file, "--dark", "--name", "plane,line", "--view", "contour,overlay").code == 0
    assert {p.path.name for p in drawn} == {"plane-contour.png", "plane-overlay.png", "line.png"}
    for image in drawn:
        assert image.figure.layout.template.layout.paper_bgcolor == "#121417"
        light = [trace for trace in image.figure.data if trace.type == "scatter" and trace.line.color == "#0072b2"]
        assert light == []


def test_a_narrow_image_of_surfaces_is_one_for_each_checkpoint_on_the_common_scale(run, drawn) -> None:
    store(
        "g.h5",
        {"a/plane": make.surface("a"), "b/plane": make.surface("b", value=lambda a, b, s: 2 * make.loss(a, b, s))},
    )
    assert run("export", "g.h5", "--width", "480", "--view", "contour", "--log", "no").code == 0
    assert [image.path.name for image in drawn] == ["a-plane-contour.png", "b-plane-contour.png"]
    assert len({image.figure.data[0].zmax for image in drawn}) == 1


def test_names_that_no_file_could_have_are_made_safe(run) -> None:
    made = kinds.layers("a")
    store("f.h5", {"a b:c*/lay?ers": made, "a b-c-/lay-ers": made, "ü/x": dataclasses.replace(made)})
    assert run("export", "f.h5", "--format", "csv", "--out", "o").code == 0
    assert {path.name for path in Path("o").iterdir()} == {"a-b-c-lay-ers.csv", "a-b-c-lay-ers-2.csv", "ü-x.csv"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "gif"], "got --format gif; expected one or more of png, svg, pdf, csv"),
        (["--name", "nothing"], "no result is called 'nothing'; the file has net-sam/plane"),
        (["--format", "stl", "--name", "line"], "a stl holds a surface, and none was chosen; take csv or npz"),
        (["--format", "glb", "--metric", "top5"], "got --metric top5; expected one of loss, accuracy"),
        (["--metric", "top5"], "among loss, accuracy, error, got 'top5'"),
        (["--width", "3"], "got --width 3; expected 100 to 20000 pixels"),
        (["--font-size", "1"], "got --font-size 1.0"),
        (["--scale", "99"], "got --scale 99"),
        (["--relief", "nan"], "got --relief nan"),
        (["--size", "0"], "got --size 0.0; expected a number above 0"),
        (["--clip", "-1"], "got --clip -1.0"),
        (["--view", "4d"], "got --view 4d; expected one or more of 3d, wireframe, contour, overlay"),
        (["--split", "validation", "--name", "plane"], "among train, test, gap, got 'validation'"),
    ],
)
def test_what_cannot_be_is_one_line(run, file: str, words: list[str], message: str) -> None:
    run("export", file, *words).refused(message)
    assert not Path("exports").exists()


def test_a_missing_file_and_a_folder_in_the_way(run, file: str) -> None:
    run("export", "nothing.h5").refused("no such file: nothing.h5")
    Path("o").write_text("a file", "utf-8")
    run("export", file, "--format", "csv", "--out", "o").refused("cannot write o/")


def test_a_surface_that_is_still_computed_can_be_exported(run) -> None:
    whole = make.surface("a", nx=7, ny=5)
    with ResultFile("f.h5") as file:
        file.begin("a/plane", dataclasses.replace(whole, points=whole.points[:0]))
        file.append(whole.points[:80])
        outcome = run("export", "f.h5", "--format", "npz,stl")
    assert outcome.code == 0
    assert "holes" in outcome.err
    with np.load("exports/f/a-plane.npz") as archive:
        assert int(archive["computed"].sum()) == 20


def test_the_command_loads_no_torch(file: str) -> None:
    code = (
        "import sys; from landscape.cli import main; from landscape.cli.terminal import live_server\n"
        "from landscape.export.images import image_specs, render\n"
        "for words in (['export', 'f.h5', '--format', 'csv,stl'], ['report', 'f.h5']): main(words)\n"
        "assert not {'torch', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, capture_output=True)
    assert Path("report.html").exists()
