import base64
import hashlib
import html
import itertools
import json
import re
import runpy
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from landscape.errors import LandscapeError
from landscape.figures import report
from landscape.figures.report import render_report, write_report
from landscape.figures.summary import checkpoints, differences, key_numbers, verdict

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic.py"))))
HOSTILE = "</script><img src=x onerror=alert(1)>"
SECTIONS = {
    "plane": "surfaces",
    "line": "lines",
    "hessian": "curvature",
    "sharpness": "sharpness",
    "history": "training",
}
NEEDS_A_CLOSE = {
    "a",
    "b",
    "button",
    "code",
    "details",
    "div",
    "fieldset",
    "figure",
    "label",
    "section",
    "table",
    "tbody",
}


@pytest.fixture
def light(monkeypatch):
    """Pages without the 5 MB of plotly.js, for tests of everything else."""
    monkeypatch.setattr(report, "get_plotlyjs", lambda: "const Plotly = null;")


class Page(HTMLParser):
    """The elements of a page: tags with attributes, visible text, and the embedded data."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)
        assert not self.open, f"left open: {self.open}"
        self.data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in NEEDS_A_CLOSE:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in NEEDS_A_CLOSE:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def ids(self):
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_the_page_is_one_file_that_fetches_nothing(tmp_path):
    path = write_report(
        make.everything("a", "b", nx=51, ny=51), tmp_path / "new" / "report.html", sources=["/home/x/pair.h5"]
    )
    text = path.read_text("utf-8")
    assert len(text.encode()) < 8_000_000
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "base")
        assert "src" not in attributes
        assert tag != "a" or attributes["href"].startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    for script in re.findall(r'<script(?: type="text/plain")?>(.*?)</script>', text, re.S):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert "pair.h5" in page.text
    assert "/home/x" not in text
    assert list(tmp_path.joinpath("new").iterdir()) == [path]


def test_it_is_replaced_whole_or_not_at_all(tmp_path, light):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(LandscapeError, match="at least one result"):
        write_report({}, path)
    assert path.read_text() == "old"
    write_report({"a/history": make.history()}, path, title="Mine")
    assert "<title>Mine</title>" in path.read_text("utf-8")
    with pytest.raises(LandscapeError, match="cannot write"):
        write_report({"a/history": make.history()}, tmp_path)


@pytest.mark.parametrize("count", [1, 4, 5])
def test_any_mixture_shows_what_there_is_and_nothing_else(light, count):
    results = make.everything("a")
    for kinds in itertools.combinations(SECTIONS, count):
        page = Page(render_report({f"a/{kind}": results[f"a/{kind}"] for kind in kinds}))
        shown = [section for section in SECTIONS.values() if section in page.ids]
        assert shown == [SECTIONS[kind] for kind in SECTIONS if kind in kinds]
        assert len(page.data["planes"]) == ("plane" in kinds)
        linked = [a["href"][1:] for tag, a in page.tags if tag == "a"]
        assert set(linked) <= set(page.ids)


@pytest.mark.parametrize("labels", [("a",), ("a", "b"), tuple("abcdef")])
def test_ids_are_unique_and_every_plot_has_its_data(light, labels):
    page = Page(render_report(make.everything(*labels)))
    assert len(set(page.ids)) == len(page.ids)
    plots = [attributes["data-plot"] for _, attributes in page.tags if "data-plot" in attributes]
    assert sorted(plots) == sorted(page.data["plots"])
    panels = [panel["id"] for plane in page.data["planes"] for panel in plane["panels"]]
    assert len(panels) == len(labels)
    assert {f"{panel}-{kind}" for panel in panels for kind in ("relief", "contour")} <= set(page.ids)
    for plot in page.data["plots"].values():
        assert len(plot["variants"]) == 1 or plot["control"] in page.ids
    described = [a for _, a in page.tags if "plot" in a.get("class", "").split()]
    assert described
    assert all(a["aria-label"] for a in described)


def test_between_alone_makes_a_page(light):
    page = Page(render_report({"a..b/between": make.between()}))
    assert "lines" in page.ids
    assert "summary" not in page.ids
    assert "a → b" in page.text


def unpack(grid):
    return np.frombuffer(base64.b64decode(grid["bdata"]), "<f4").reshape([int(n) for n in grid["shape"].split(",")])


def test_the_page_holds_the_measured_grids_inf_and_nan_included(light):
    def spoil(points):
        points["value"][0], points["value"][4] = np.inf, np.nan
        return points

    surface = make.surface(change=spoil)
    plane = Page(render_report({"a/plane": surface})).data["planes"][0]
    grids = plane["panels"][0]["grids"]
    assert set(grids) == {f"{m}/{s}" for m in ("loss", "accuracy") for s in ("train", "test", "gap")}
    for metric in surface.metrics:
        for split, expected in zip(surface.splits, surface.grid(metric), strict=True):
            np.testing.assert_allclose(unpack(grids[f"{metric}/{split}"]), expected, rtol=1e-6)
    assert np.isinf(unpack(grids["loss/train"])).sum() == 1
    assert plane["panels"][0]["axes"] == [pytest.approx(surface.alpha), pytest.approx(surface.beta)]


def test_every_view_offers_rising_limits_of_which_one_is_automatic(light):
    wide = make.everything("a", "b", value=lambda a, b, s: 10 ** (4 * a * a + b * b) / 100 * (1 + s))
    for view, found in Page(render_report(wide)).data["planes"][0]["views"].items():
        assert found["mode"] in found["modes"]
        assert ("log" in found["modes"]) == (view in ("loss/train", "loss/test")), view
        for mode, offered in found["modes"].items():
            tops = [scale["top"] for scale in offered["scales"]]
            assert tops == sorted(tops)
            assert all(scale["log"] == (mode == "log") for scale in offered["scales"])
            chosen = offered["scales"][offered["automatic"]]
            assert chosen["bottom"] < chosen["top"]
            assert view.startswith("accuracy") or len(offered["scales"]) > 2
            assert offered["scales"][-1]["note"] == ""


def test_a_panel_without_the_shown_split_has_no_grid_for_it(light):
    results = {"a/plane": make.surface("a"), "b/plane": make.surface("b", splits=("train",))}
    plane = Page(render_report(results)).data["planes"][0]
    assert "loss/test" in plane["views"]
    assert "loss/test" not in plane["panels"][1]["grids"]


def test_an_incomplete_surface_says_how_much_of_it_there_is(light):
    surface = make.surface(change=lambda points: points[points["beta"] < 0.3])
    assert "28 of 35 points computed so far" in Page(render_report({"a/plane": surface})).text


def test_surfaces_of_different_names_have_their_own_scales(light):
    page = Page(render_report({"a/plane": make.surface(), "a/zoom": make.surface(nx=3), "b/plane": make.surface("b")}))
    assert [len(plane["panels"]) for plane in page.data["planes"]] == [2, 1]
    assert "zoom" in page.text


def test_hostile_names_are_only_ever_text(light):
    results = make.everything(HOSTILE, "b", metrics=("loss", "accuracy", "<b>mine</b>"))
    results = {
        key: replace(result, attributes=dict(result.attributes) | {"command": HOSTILE, HOSTILE: HOSTILE})
        for key, result in results.items()
    }
    text = render_report(results, title=HOSTILE, sources=[HOSTILE])
    page = Page(text)
    assert HOSTILE not in text
    assert not [tag for tag, attributes in page.tags if tag == "img" or "onerror" in attributes]
    assert html.unescape(text).count(HOSTILE) > 10
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 5


def test_provenance_tells_what_was_measured_and_how_to_repeat_it(light):
    page = Page(render_report(make.everything("a", "b")))
    for words in (
        "loss and accuracy on train and test, 7 × 5 points, α from −1 to 1, β from −0.5 to 0.5",
        "3 largest and 2 smallest eigenvalues of the hessian, 40 products",
        "3 sharpness measures, 64 passes over the examples",
        "training curves, 6 epochs",
        "landscape surface checkpoints/a.pt --points 51",
        "resnet20, 269,722 parameters",
        "1 min 14 s",
        "a (SHA-256 abababababab…)",
    ):
        assert words in page.text, words


# the summary


def test_key_numbers_stand_side_by_side():
    rows = {row.label: row for row in key_numbers(checkpoints(make.everything("a", "b")))}
    assert rows["Test accuracy"].cell("a") == "95.70%"
    assert rows["Generalization gap"].cell("b") == "0.1980"
    assert rows["λ_max"].cell("a") == "9.0000 ± 0.00090"
    assert rows["SAM sharpness, ρ = 0.05"].cell("b") == "0.02400 ± 0.00040"
    assert rows["λ_max"].cell("c") == ""


def test_the_ggn_s_largest_eigenvalue_is_not_passed_off_as_the_hessian_s():
    results = {key: r for key, r in make.everything("a").items() if r.kind == "spectrum"}
    (spectrum,) = results.values()
    ggn = replace(spectrum, eigenvalues=2 * spectrum.eigenvalues, attributes={**spectrum.attributes, "operator": "ggn"})
    assert "λ_max" not in {row.label for row in key_numbers(checkpoints({"a/ggn": ggn})) if row.numbers}
    both = {row.label: row for row in key_numbers(checkpoints({"a/ggn": ggn, "a/hessian": spectrum}))}
    assert both["λ_max"].numbers["a"].value == spectrum.eigenvalues[0]


def test_final_numbers_come_from_the_history_where_nothing_else_has_them():
    history = make.history()
    rows = key_numbers(checkpoints({"a/history": replace(history, attributes={"checkpoint": "a"})}))
    assert rows[0].numbers["a"].value == history.columns["train_loss"][-1]


def sentences(*results):
    named = {label: {"sharpness": result} for label, result in zip("abc", results, strict=False)}
    return verdict(key_numbers(named), list(named))


def test_the_verdict_says_who_is_flatter_by_what_and_who_knows():
    agreeing = sentences(make.sharpness(), make.sharpness(keskar=3.6, sam=0.05, average=9e-5))
    assert agreeing[0].startswith("a is flatter by Keskar ε-sharpness, ε = 0.001 (2.0× lower);")
    assert "agree" in agreeing[1]
    assert "not which optimizer" in agreeing[-1]

    split = sentences(make.sharpness(keskar=1), make.sharpness(keskar=4, sam=0.001))
    assert [sentence.split(" by ")[0] for sentence in split[:2]] == [
        "b is flatter",
        "a is flatter",
    ] or "disagree" in split[2]
    assert any("disagree" in sentence for sentence in split)
    assert any("Too close to call" in sentence and "Average-case" in sentence for sentence in split)


def test_the_verdict_knows_noise_from_difference():
    close = sentences(make.sharpness(sam=0.0120), make.sharpness(sam=0.0130, keskar=1.8))
    assert not any(sentence.startswith(("a is flatter", "b is flatter")) for sentence in close)
    assert any("SAM" in sentence for sentence in close if "Too close" in sentence)
    assert sentences(make.sharpness()) == []


def test_three_checkpoints_have_a_flattest():
    found = sentences(*(make.sharpness(keskar=k, sam=s) for k, s in ((1, 0.1), (2, 0.2), (3, 0.3))))
    assert found[0].startswith("a is flattest by")


def test_results_measured_differently_are_not_shown_without_a_word(light):
    alike = {"a": make.surface("a"), "b": make.surface("b")}
    assert differences(alike) == ""
    other = make.surface("b", subset=500, directions={"kind": "random", "seed": 1, "normalization": "filter"})
    words = differences({"a": make.surface("a"), "b": other})
    assert "subset): 2000 / 500" in words
    assert "directions (seed)" in words
    assert words in Page(render_report({"a/plane": make.surface("a"), "b/plane": other})).text
