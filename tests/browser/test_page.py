"""The rest of the page: curves, tables, copying, light and dark, widths, hostile names."""

from dataclasses import replace

import pytest
from cases import driving as drive
from cases import kinds
from cases import synthetic as make

from landscape.figures.report.page import write_report

pytestmark = pytest.mark.browser


panel = drive.panel
HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_every_kind_of_result_is_drawn(tmp_path, visit):
    results = make.everything("a", "b") | kinds.everything("a") | kinds.everything("b")
    page = visit(write_report(results, tmp_path / "report.html"))
    drawn = page.evaluate("curves.map(e => [e.id, e.querySelectorAll('.main-svg').length, e.data.length])")
    assert len(drawn) == page.evaluate("Object.keys(page.plots).length") > 15
    assert all(count and traces for _, count, traces in drawn), drawn


def test_curves_switch_their_axes_and_hide_series(pair, visit):
    page = visit(pair)
    loss = "document.querySelector('[data-plot=history-0-loss]')"
    read = f"{loss}.layout.xaxis.title.text"
    assert page.evaluate(read) == "epoch"
    page.locator("#history-0-x label", has_text="Seconds").click()
    page.wait_for_function(f"() => {read} === 'seconds'")
    page.locator("#history-0-x label", has_text="Gradient").click()
    page.wait_for_function(f"() => {read}.startsWith('gradient')")

    page.locator("#training .series", has_text="b").click()
    page.wait_for_function(f"() => {loss}.data.filter(trace => trace.visible === false).length === 2")
    assert page.locator("#lines .series[data-series='1']").first.get_attribute("aria-pressed") == "false"

    line = "document.querySelector('[data-plot=line-0-loss]')"
    kind = page.evaluate(f"{line}.layout.yaxis.type")
    page.locator("#line-0-height label", has_text={"log": "Linear", "linear": "Log"}[kind]).click()
    page.wait_for_function(f"() => {line}.layout.yaxis.type !== '{kind}'")


def test_six_checkpoints_read_by_recipe_or_each(tmp_path, visit):
    page = visit(write_report(make.pair_of_recipes(), tmp_path / "report.html"))
    line = "document.querySelector('[data-plot=line-0-loss]')"
    names = f"[...new Set({line}.data.map(t => t.name).filter(Boolean))].length"
    assert page.evaluate(names) == 4  # two recipes on two splits
    assert page.locator("#lines .legend .entry:visible").all_text_contents() == ["adam", "sam"]
    page.locator("#line-0-by label", has_text="Each").click()
    page.wait_for_function(f"() => {names} === 12")
    assert page.locator("#lines .legend .series:visible").count() == 6
    assert page.locator("#plane-0 .relief").count() == 7  # six, and the overlay
    assert page.locator("#numbers h3").first.text_content() == "sam against adam, 3 pairs"


def test_tables_sort_by_a_click_on_their_heads(pair, visit):
    page = visit(pair)
    column = page.locator("#sharpness table.sortable tbody tr td:nth-child(2)")
    head = page.locator("#sharpness table.sortable thead th").nth(1)
    before = column.all_text_contents()
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    values = [float(cell.get_attribute("data-value")) for cell in column.all()]
    assert values == sorted(values)
    assert sorted(column.all_text_contents()) == sorted(before)
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(cell.get_attribute("data-value")) for cell in column.all()] == values[::-1]


def test_the_command_can_be_copied(pair, visit):
    page = visit(pair)
    page.locator("#plane-0 .source > summary").click()
    page.locator("#plane-0 .copy").first.click()
    page.wait_for_function("() => document.querySelector('#plane-0 .copy').textContent === 'Copied'")
    assert page.evaluate("getSelection().toString()") in ("", "landscape surface checkpoints/a.pt --points 51")


def test_dark_and_light_reach_page_and_figures(pair, visit):
    page = visit(pair, color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    inked = f"{panel(0, 'contour')}._fullLayout.font.color"
    line = "document.querySelector('[data-plot=line-0-loss]').data[1].line.color"
    dark = [page.evaluate(read) for read in (paper, inked, line)]
    page.click("#theme")
    page.wait_for_function(f"before => {line} !== before", arg=dark[2])
    light = [page.evaluate(read) for read in (paper, inked, line)]
    assert light[0] == "rgb(255, 255, 255)"
    assert all(one != other for one, other in zip(dark, light, strict=True))


def test_a_dark_page_prints_light(pair, visit):
    page = visit(pair, color_scheme="dark")
    scene = panel(0)
    page.wait_for_function(f"{scene}._fullLayout?.scene")
    colours = f"[document.documentElement.dataset.theme, {scene}._fullLayout.font.color]"
    dark = page.evaluate(colours)
    page.evaluate(f"window.print = () => {{ window.printed = {colours}; }}")
    page.click("#print")
    page.wait_for_function("window.printed")
    light = page.evaluate("printed")
    assert (dark[0], light[0]) == ("dark", "light")
    assert light[1] != dark[1]
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_function(f"dark => JSON.stringify({colours}) === JSON.stringify(dark)", arg=dark)


def test_nothing_is_wider_than_the_page(pair, visit):
    page = visit(pair)
    for width in (1920, 1280, 800, 380):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            """width => document.documentElement.scrollWidth <= width &&
              [...document.querySelectorAll(".main-svg")].every(svg => svg.getBoundingClientRect().right <= width)""",
            arg=width,
        )


def test_hostile_names_run_nothing_and_read_literally(tmp_path, visit):
    results = make.everything(HOSTILE, "b", metrics=("loss", "accuracy", "<i>mine</i>"))
    results = {
        key: replace(result, attributes=dict(result.attributes) | {"command": HOSTILE})
        for key, result in (results | kinds.everything(HOSTILE)).items()
    }
    page = visit(write_report(results, tmp_path / "report.html", title=HOSTILE, sources=[HOSTILE]))
    assert page.locator("h1").text_content() == HOSTILE
    assert page.locator("img").count() == 0
    assert HOSTILE[:20] in page.locator("#lines").text_content()
    page.locator("#plane-0-quantity label", has_text="mine").first.click()
    page.wait_for_function(
        f"() => {panel(0, 'contour')}.layout.xaxis && {panel(0)}.layout.scene.zaxis.title.text.includes('mine')"
    )
    assert page.locator("#plane-0 .relief-scale .scale-title").text_content().startswith("train <i>mine</i>")
    page.locator("#plane-0-layout label", has_text="Overlay").click()
    overlay = "document.getElementById('plane-0-overlay')"
    page.wait_for_function(f"() => {overlay}._fullLayout?.scene?._scene?.glplot.objects.length >= 2")
    assert "&lt;img" in page.evaluate(f"{overlay}.data[0].hovertemplate")


def test_the_keyboard_reaches_every_control(pair, visit):
    page = visit(pair)
    reached = set()
    for _ in range(90):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(e => e.id || e.name || e.className || e.tagName)(document.activeElement)"))
    expected = {"theme", "plane-0-quantity", "plane-0-split", "plane-0-limit", "plane-0-layout", "plane-0-style"}
    expected |= {"plane-0-levels", "plane-0-floor", "plane-0-0-relief", "plane-0-steps", "line-0-height", "sort"}
    assert expected <= reached
