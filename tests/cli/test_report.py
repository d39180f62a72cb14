import dataclasses
import os
import re
import webbrowser
from pathlib import Path

import pytest
from cases import synthetic as make

from landscape.cli.commands.report import merged
from landscape.storage.result_file import ResultFile


@pytest.fixture
def measured(run, pair) -> None:
    run("surface", pair.sam, pair.adam, *pair.data, "--points", "3")


@pytest.mark.usefixtures("measured")
def test_a_report_of_the_latest_file_needs_no_network(run) -> None:
    Path("other.h5").write_bytes(b"not ours, but newer")
    outcome = run("report")
    assert outcome.code == 0
    assert "the latest analysis file is results/sam+adam.h5" in outcome.err
    assert "next: open it in a browser, or landscape report results/sam+adam.h5 --open" in outcome.err
    page = Path("report.html").read_text("utf-8")
    for name in ("sam", "adam"):
        assert name in page
    assert not re.findall(r"""<(?:script|img|link|iframe)[^>]*(?:src|href)=["'](?:https?:)?//""", page)


@pytest.mark.usefixtures("measured")
def test_several_files_a_title_and_a_place(run, pair) -> None:
    run("surface", pair.sam, *pair.data, "--plane", "line", "--points", "3")
    outcome = run(
        "report", "results/sam+adam.h5", "results/sam.h5", "--out", "my pages/r.html", "--title", "Flat & sharp"
    )
    assert outcome.code == 0
    assert "Flat &amp; sharp" in Path("my pages/r.html").read_text("utf-8")


@pytest.mark.usefixtures("measured")
def test_results_of_the_same_name_are_all_shown(run, pair) -> None:
    for path in ("x/f.h5", "y/f.h5"):
        run("surface", pair.sam, *pair.data, "--plane", "line", "--points", "3", "--out", path)
    names = set(merged([Path("results/sam+adam.h5"), Path("x/f.h5"), Path("y/f.h5"), Path("y/f.h5")]))
    assert names == {
        "sam/plane", "adam/plane", "sam/history", "adam/history",
        "sam/line", "sam (f)/line", "sam (f)/history", "sam (f 2)/history",
    }  # fmt: skip
    assert run("report", "results/sam+adam.h5", "x/f.h5", "y/f.h5").code == 0


@pytest.mark.usefixtures("measured")
def test_open_shows_the_page_or_says_where_it_is(run, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    assert run("report", "--open").code == 0
    assert opened == [Path("report.html").resolve().as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    assert "open report.html yourself" in run("report", "--open").err


def test_the_latest_file_is_the_one_that_is_being_filled(run, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    whole = make.surface("old", nx=3, ny=3)
    for name in ("figures/newer.h5", "results/older.h5"):
        with ResultFile(name) as file:
            file.put(f"{Path(name).stem}/plane", whole)
    os.utime("results/older.h5", (1, 1))
    with ResultFile("results/older.h5") as file:
        file.begin("older/filled", dataclasses.replace(whole, points=whole.points[:0]))
        os.utime("results/older.h5", (2, 2))
        os.utime("figures/newer.h5", (3, 3))
        assert "the latest analysis file is results/older.h5" in run("report", "--open").err  # by its journal
    Path("results/older.h5.journal").unlink()  # what a finished surface leaves
    said = run("report", "--open").err
    assert "the latest analysis file is figures/newer.h5; 1 other found, name the files to open several" in said
    assert opened == [Path("report.html").resolve().as_uri()] * 2


def test_without_any_file_it_says_how_to_make_one(run) -> None:
    run("report", "--open").refused("no analysis file (.h5) here or in results/")
    run("report", "--port", "99999", "f.h5").refused("got --port 99999; expected 0 to 65535")
