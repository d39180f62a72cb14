"""The first screen, switches between results of one kind, the bar of sections, and the line at chance level."""

import math
from dataclasses import replace

import numpy as np
import pytest
from cases import driving as drive
from cases import kinds
from cases import synthetic as make

from landscape.figures.report.page import write_report
from landscape.results import with_attributes

pytestmark = pytest.mark.browser


panel, roles, choose = drive.panel, drive.roles, drive.choose

CLASSES = {"data": {"kind": "digits", "name": "digits", "classes": list("0123456789")}, "loss": "cross_entropy"}
DIRECTIONS = {"kind": "random", "seed": 0, "norms": [2.0, 2.0], "cosine": 0.001}


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """Two checkpoints with several results of one kind: spectra, BatchNorm modes, planes."""
    results = make.everything("net-sam", "net-adam", nx=15, ny=11, value=drive.wide, directions=DIRECTIONS, **CLASSES)
    path = {"kind": "random", "seed": 0, "hashes": ["ab" * 32]}
    for label in ("net-sam", "net-adam"):
        results |= kinds.seeded_lines(label, 3)
        results[f"{label}/pca"] = kinds.pca_surface(label, nx=5, ny=5)
        results[f"{label}/large"] = with_attributes(make.spectrum(label, 3.0), examples={"train": 5000})
        for name, mode in (("m", "fixed"), ("m-2", "recalibrated")):
            results[f"{label}/{name}"] = make.line(label, directions=path, batchnorm=mode)
    return write_report(results, tmp_path_factory.mktemp("rich") / "report.html")


def bottom(page, selector):
    return page.evaluate("s => document.querySelector(s).getBoundingClientRect().bottom + scrollY", selector)


def test_the_first_screen_holds_the_verdict_the_cards_and_both_surfaces(rich, visit):
    page = visit(rich)
    page.set_viewport_size({"width": 1440, "height": 900})
    for selector in (".headline", ".card:last-child", "#plane-0-0-relief", "#plane-0-1-relief"):
        page.wait_for_function("s => document.querySelector(s).getBoundingClientRect().bottom <= 900", arg=selector)
    assert page.locator(".card").count() == 5
    assert page.locator("h1").text_content() == "Loss landscape of sam and adam"
    assert page.locator(".headline").text_content().startswith("sam is flattest by 4 of 4 measures, clearly by 1")
    for index in (0, 1):  # drawn without a scroll
        assert page.evaluate(f"{panel(index)}._fullLayout.scene._scene.glplot.objects.length") >= 1
    assert "What this slice cannot show" in page.locator(".limits[data-with=plane-0]").text_content()


def test_a_phone_shows_verdict_cards_and_a_surface_within_two_screens(rich, visit):
    page = visit(rich)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("() => document.querySelector('#plane-0-0-relief').clientWidth < 390")
    order = [bottom(page, selector) for selector in (".headline", ".cards", "#plane-0-0-relief")]
    assert order == sorted(order)
    assert order[-1] <= 2 * 844
    for width in (390, 380):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)


def test_results_of_one_kind_stand_behind_a_switch(rich, visit):
    page = visit(rich)
    shown = "#spectrum-block-0-choice-alternatives .alternative:not(.away) h3"
    assert page.locator(shown).all_text_contents() == ["Largest and smallest eigenvalues (5,000 examples)"]
    page.locator("#spectrum-block-0-choice input:checked").focus()
    page.keyboard.press("ArrowLeft")  # to the one whose number of examples is not recorded
    page.wait_for_function(
        f"() => document.querySelector('{shown}').textContent === 'Largest and smallest eigenvalues'"
    )
    assert page.locator("#spectrum-block-1-choice").count() == 0
    hidden = page.locator("#spectrum-1")
    assert hidden.is_hidden()
    width = page.evaluate("document.getElementById('spectrum-0').querySelector('.main-svg').clientWidth")
    assert width == page.evaluate("document.getElementById('spectrum-0').clientWidth") > 300

    page.locator("#line-1-block-choice label", has_text="Re-estimated").click()
    assert page.locator("#line-2-loss").is_visible()
    assert page.locator("#line-1-loss").is_hidden()


def test_a_plane_behind_a_switch_is_drawn_when_it_is_chosen(rich, visit):
    page = visit(rich)
    drawn = "document.getElementById('plane-1-0-relief')._fullLayout"
    assert page.locator("#plane-1-0-contour").is_hidden()
    page.locator("#plane-0-choice label", has_text="trajectory").click()
    page.wait_for_function(f"() => {drawn}?.scene?._scene?.glplot.objects.length > 0")
    assert page.locator("#plane-0-0-contour").is_hidden()
    assert page.locator(".limits").is_hidden()  # of the other plane
    flat = "document.getElementById('plane-1-0-contour')"
    page.wait_for_function(f"() => {flat}.querySelector('.main-svg').clientWidth === {flat}.clientWidth")


def test_paper_holds_what_is_chosen_and_says_so(rich, visit):
    page = visit(rich)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("#numbers table").first.is_visible()
    assert page.locator(".origin").first.is_visible()
    assert page.locator("#spectrum-0").is_hidden()
    assert page.locator("#spectrum-1").is_visible()
    note = page.locator("#spectrum-block-0-choice-alternatives > .on-paper")
    assert note.is_visible()
    assert note.text_content().startswith("Printed as chosen on the screen: one of 2 (")
    assert page.locator(".topbar").is_hidden()
    assert page.locator(".card").first.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert page.locator("#numbers table").first.is_hidden()


def test_the_bar_stays_and_names_the_section_that_is_read(rich, visit):
    page = visit(rich)
    current = page.locator(".topbar [aria-current=true]")
    assert current.all_text_contents() == ["Summary"]
    for name in ("Curvature", "Lines"):
        page.locator(".topbar a", has_text=name).click()
        page.wait_for_function(f"() => document.querySelector('.topbar [aria-current]').textContent === '{name}'")
        page.wait_for_function(  # the scroll is smooth: it ends with the heading just below the bar
            """name => {
              const box = (selector) => document.querySelector(selector).getBoundingClientRect();
              const [top, bar] = [box(`#${name} h2`), box(".topbar")];
              return bar.top === 0 && top.top >= bar.bottom && top.top < bar.bottom + 120;
            }""",
            arg=name.lower(),
        )
    page.locator(".topbar a", has_text="Provenance").click()  # too short to reach the bar
    page.wait_for_function("() => document.querySelector('.topbar [aria-current]').textContent === 'Provenance'")


def test_a_line_marks_chance_level_and_can_be_switched_off(rich, visit):
    page = visit(rich)
    assert "ln 10 = 2.30" in page.locator("#plane-0 .toolbar").first.text_content()
    level = math.log10(math.log(10))
    marked = "e.data.find(t => t.meta?.role === 'chance')"
    traces = page.evaluate(f"[{panel(0)}, {panel(0, 'contour')}].map(e => {marked}).map(t => [t.x, t.y, t.z])")
    (x, y, z), (flat_x, flat_y, _) = traces
    assert (x, y) == (flat_x, flat_y)
    scale = page.evaluate("[planes[0].scale.bottom, planes[0].scale.top]")
    assert z == pytest.approx([level + 0.01 * (scale[1] - scale[0])] * len(z))
    grid = np.log10(make.surface(nx=15, ny=11, value=drive.wide).grid()[0])
    for u, v in ((u, v) for u, v in zip(x, y, strict=True) if u is not None):
        column, row = min(int((u + 1) * 7), 13), min(int((v + 0.5) * 10), 9)
        near = grid[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        assert near.min() <= level <= near.max()  # it crosses the cell

    choose(page, "quantity", "Accuracy")
    page.wait_for_function(f"() => new Set({panel(0)}.data.find(t => t.meta?.role === 'chance')?.z).size === 1")
    choose(page, "split", "Gap")
    page.wait_for_function(f"() => !{panel(0)}.data.some(t => t.meta?.role === 'chance')")  # a gap has no chance level
    choose(page, "split", "Train")
    page.wait_for_function(f"() => {panel(0)}.data.some(t => t.meta?.role === 'chance')")
    page.locator("#plane-0-chance").uncheck()
    page.wait_for_function(
        f"() => ![{panel(0)}, {panel(0, 'contour')}].some(e => e.data.some(t => t.meta?.role === 'chance'))"
    )


def test_without_classes_there_is_no_chance_level(pair, visit):
    page = visit(pair)
    assert page.locator("#plane-0-chance").count() == 0
    assert "chance" not in roles(page, panel(0))


def test_one_checkpoint_without_surfaces_still_opens_with_its_cards(tmp_path, visit):
    results = {key: result for key, result in make.everything("a").items() if result.kind != "surface"}
    page = visit(write_report({k: replace(r) for k, r in results.items()}, tmp_path / "report.html"))
    assert page.locator("#summary .card").count() == 4
    assert page.locator(".headline").count() == 0
