"""The page: one offline file, any mixture of results, hostile names."""

import base64
import hashlib
import html
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from cases import kinds
from cases import synthetic as make

from landscape.errors import LandscapeError
from landscape.figures.report import page
from landscape.figures.report.page import render_report, write_report

HOSTILE = "</script><img src=x onerror=alert(1)>"


SECTIONS = {
    "plane": "surfaces",
    "line": "lines",
    "hessian": "curvature",
    "sharpness": "sharpness",
    "history": "training",
}


MORE = {  # of the other kinds
    "a/pca": "surfaces",
    "a/trajectory": "surfaces",
    "a/density": "curvature",
    "a/layers": "curvature",
    "a/convexity": "curvature",
    "a/curves": "sharpness",
    "a..b/curve": "lines",
    "study/sharpness": "sharpness",
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
    monkeypatch.setattr(page, "get_plotlyjs", lambda: "const Plotly = null;")


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


@pytest.mark.parametrize("count", [1, 4])
def test_any_mixture_shows_what_there_is_and_nothing_else(light, count):
    results = make.everything("a")
    for chosen in itertools.combinations(SECTIONS, count):
        page = Page(render_report({f"a/{kind}": results[f"a/{kind}"] for kind in chosen}))
        shown = [section for section in SECTIONS.values() if section in page.ids]
        assert shown == [SECTIONS[kind] for kind in SECTIONS if kind in chosen]
        assert len(page.data["planes"]) == ("plane" in chosen)
        linked = [a["href"][1:] for tag, a in page.tags if tag == "a"]
        assert set(linked) <= set(page.ids)


@pytest.mark.parametrize("key", MORE)
def test_every_kind_alone_makes_a_page_of_its_section(light, key):
    result = kinds.everything("a")[key]
    page = Page(render_report({key: result}))
    assert [section for section in dict.fromkeys(SECTIONS.values()) if section in page.ids] == [MORE[key]]
    assert sorted(page.data["plots"]) == sorted(a["data-plot"] for _, a in page.tags if "data-plot" in a)
    assert page.data["plots"] or page.data["planes"]


def everything_of(labels):
    results = make.everything(*labels)
    for label in labels:
        results |= kinds.everything(label)
    return results


@pytest.mark.parametrize("labels", [("a",), ("a", "b"), tuple("abcdef")])
def test_ids_are_unique_and_every_plot_has_its_data(light, labels):
    page = Page(render_report(everything_of(labels)))
    assert len(set(page.ids)) == len(page.ids)
    plots = [attributes["data-plot"] for _, attributes in page.tags if "data-plot" in attributes]
    assert sorted(plots) == sorted(page.data["plots"])
    panels = [panel["id"] for plane in page.data["planes"] for panel in plane["panels"]]
    assert len(panels) == 2 * len(labels)
    assert {f"{panel}-{kind}" for panel in panels for kind in ("relief", "contour")} <= set(page.ids)
    for plot in page.data["plots"].values():
        assert set(plot["controls"]) <= set(page.ids)
        offered = [[o["value"] for t, o in page.tags if t == "input" and o.get("name") == c] for c in plot["controls"]]
        assert {"|".join(values) for values in itertools.product(*offered)} == set(plot["variants"])
    described = [a for _, a in page.tags if "plot" in a.get("class", "").split()]
    assert described
    assert all(a["aria-label"] for a in described)
    labelled = {a["for"] for tag, a in page.tags if tag == "label" and "for" in a}
    assert {a["id"] for tag, a in page.tags if tag == "select" or a.get("type") == "range"} <= labelled


def test_between_alone_makes_a_page(light):
    page = Page(render_report({"a..b/between": make.between()}))
    assert "lines" in page.ids
    assert "a → b" in page.text
    assert "has a barrier of 2.00 ± 0.10" in page.text
    assert not [tag for tag, _ in page.tags if tag == "table"]


def test_an_incomplete_surface_says_so_on_the_page(light):
    surface = make.surface(change=lambda points: points[points["beta"] < 0.3])
    assert "28 of 35 points computed so far" in Page(render_report({"a/plane": surface})).text


def test_settings_that_differ_are_said_on_the_page(light):
    other = make.surface("b", subset=500)
    text = Page(render_report({"a/plane": make.surface("a"), "b/plane": other})).text
    assert "these differ in the number of examples (subset): 2000 / 500" in text


def test_hostile_names_are_only_ever_text(light):
    metrics = ("loss", "accuracy", "<b>mine</b>")
    results = make.everything(HOSTILE, "b", metrics=metrics) | kinds.everything(HOSTILE)
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
    page = Page(render_report(make.everything("a", "b") | kinds.everything("a")))
    for words in (
        "loss and accuracy on train and test, 7 × 5 points, α from −1 to 1, β from −0.5 to 0.5",
        "3 largest and 2 smallest eigenvalues of the hessian, 40 products",
        "3 sharpness measures, 64 passes over the examples",
        "training curves, 6 epochs",
        "spectral density of the hessian, 3 starting vectors of 12 steps, σ = 0.500",
        "curvature of 5 layers, 120 products",
        "7 places of a path, epoch 0 to 6",
        "3 measures of 8 checkpoints against their gap",
        "landscape surface checkpoints/a.pt --points 51",
        "resnet20, 269,722 parameters",
        "1 min 14 s",
        "a (SHA-256 abababababab…)",
    ):
        assert words in page.text, words


def test_every_figure_says_how_it_was_measured_and_every_command_can_be_copied(light):
    page = Page(render_report(make.everything("a", "b") | kinds.everything("a")))
    classes = [a.get("class", "").split() for _, a in page.tags]
    blocks, sources = (sum(name in found for found in classes) for name in ("block", "source"))
    assert sources == blocks > 8
    assert sum("copy" in found for found in classes) == sum("command" in found for found in classes) > blocks


def test_tables_can_be_sorted_by_the_numbers_behind_their_words(light):
    page = Page(render_report(make.everything(*"abc")))
    cells = [a["data-value"] for tag, a in page.tags if tag == "td" and "data-value" in a]
    assert repr(0.024) in cells
    sortable = [a for tag, a in page.tags if tag == "table" and "sortable" in a.get("class", "")]
    assert len(sortable) == 1


def test_several_seeds_are_compared_first_and_drawn_as_bands(light):
    page = Page(render_report(make.pair_of_recipes()))
    text = page.text
    assert text.index("Over 3 seeds, sam is flatter than adam") < text.index("sam against adam, 3 pairs")
    assert text.index("sam against adam, 3 pairs") < text.index("Each checkpoint's numbers")
    loss = page.data["plots"]["line-0-loss"]
    assert set(loss["variants"]) == {"linear|each", "linear|recipe", "log|each", "log|recipe"}
    bands, alone = (loss["variants"][f"linear|{way}"]["data"] for way in ("recipe", "each"))
    assert len(bands) < len(alone)
