"""The report in a real headless Chromium: run with `pytest -m browser`."""

import runpy
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from landscape.figures import grids
from landscape.figures.report import write_report

pytestmark = pytest.mark.browser

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic.py"))))
kinds = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("kinds.py"))))
HOSTILE = "</script><img src=x onerror=alert(1)>"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SOFTWARE_WEBGL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]


def wide(alpha, beta, split):
    """A loss over several decades, with a corner that diverges."""
    far = 1e9 if alpha > 0.9 and beta > 0.45 else 0.0
    return 0.01 * (1 + split) * 10 ** (3 * alpha**2 + 4 * beta**2 + 0.2 * alpha) + far


@pytest.fixture(scope="module")
def chromium():
    path = next(filter(None, map(shutil.which, NAMES)), None)
    assert path, f"expected a Chromium on the PATH (one of {', '.join(NAMES)}); install Debian's `chromium`"
    from playwright.sync_api import sync_playwright  # of the extra `dev`, which the default tests do without

    with sync_playwright() as playwright:
        yield lambda *flags: playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *flags])


@pytest.fixture(scope="module")
def browser(chromium):
    found = chromium(*SOFTWARE_WEBGL)
    yield found
    found.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return write_report(
        make.everything("a", "b", nx=15, ny=11, value=wide), tmp_path_factory.mktemp("pair") / "report.html"
    )


@pytest.fixture
def visit(browser):
    """Open a page, with everything that must not happen collected in `page.faults`."""
    pages = []

    def opened(path, *, within=browser, **options):
        page = within.new_page(viewport={"width": 1280, "height": 1000}, **options)
        page.faults = faults = []
        page.on("console", lambda message: message.type == "error" and faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        own = (path.as_uri(), "data:", "blob:")
        page.on("request", lambda request: request.url.startswith(own) or faults.append(f"fetched {request.url}"))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", timeout=90_000)
        pages.append(page)
        return page

    yield opened
    for page in pages:
        assert page.faults == []
        page.close()


def panel(index, kind="relief"):
    return f"document.getElementById('plane-0-{index}-{kind}')"


def cameras(page):
    eyes = [page.evaluate(f"{panel(i)}._fullLayout.scene._scene.getCamera().eye") for i in (0, 1)]
    return [[eye["x"], eye["y"], eye["z"]] for eye in eyes]


def wait_for_linked(page, changed_from):
    """Wait until both cameras agree and are not where they were."""
    read = ", ".join(f"{panel(i)}._fullLayout.scene._scene.getCamera().eye" for i in (0, 1))
    page.wait_for_function(
        f"""before => {{
          const [a, b] = [{read}].map(Object.values);
          const far = (p, q) => Math.max(...p.map((value, i) => Math.abs(value - q[i])));
          return far(a, b) < 1e-6 && far(a, before) > 0.01;
        }}""",
        arg=changed_from,
        timeout=20_000,
    )
    return cameras(page)


def heights(page, index=0, kind="relief"):
    return np.array(page.evaluate(f"{panel(index, kind)}.data[0].z.map(row => Array.from(row))"), dtype=float)


def choose(page, control, words, *, kind="relief"):
    """Choose an option and wait until a panel shows other heights, or the same on another scale."""
    read = f"JSON.stringify([{panel(0, kind)}.data[0].z, {panel(0, kind)}.data[0].colorscale])"
    before = page.evaluate(read)
    page.locator(f"#plane-0-{control}").get_by_label(words, exact=True).click()
    page.wait_for_function(f"before => {read} !== before", arg=before)


def roles(page, element):
    return page.evaluate(f"{element}.data.map(trace => trace.meta?.role ?? trace.meta?.mark)")


def test_surfaces_are_drawn_in_3d_with_the_measured_values(pair, visit):
    page = visit(pair)
    surface = make.surface(nx=15, ny=11, value=wide)
    for index in (0, 1):
        assert page.evaluate(f"{panel(index)}._fullLayout.scene._scene.glplot.objects.length") >= 1
        canvas = page.locator(f"#plane-0-{index}-relief canvas").first
        assert canvas.bounding_box()["height"] > 200
        colours = page.evaluate(
            f"""() => {{
              const gl = {panel(index)}._fullLayout.scene._scene.glplot.gl;
              const pixels = new Uint8Array(4 * gl.drawingBufferWidth * gl.drawingBufferHeight);
              gl.readPixels(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
              return new Set(new Uint32Array(pixels.buffer)).size;
            }}"""
        )
        assert colours > 100  # a picture, not a blank canvas
        shown, expected = heights(page, index), np.log10(surface.grid()[0])
        ordinary = expected < 3
        np.testing.assert_allclose(shown[ordinary], expected[ordinary], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(heights(page, index, "contour"), shown)
    assert page.evaluate(f"{panel(0)}._fullLayout.scene.zaxis.range") == page.evaluate(
        f"{panel(1)}._fullLayout.scene.zaxis.range"
    )
    assert page.locator(".curve .main-svg").count() > 5


def test_cameras_stay_together(pair, visit):
    page = visit(pair)
    start = cameras(page)
    assert start[0] == pytest.approx(start[1])

    page.evaluate(f"Plotly.relayout({panel(1)}, {{'scene.camera': {{eye: {{x: 2, y: 0.4, z: 0.5}}}}}})")
    told = wait_for_linked(page, start[0])
    assert told[0] == pytest.approx([2, 0.4, 0.5])

    page.locator("#plane-0-0-relief").hover()
    box = page.locator("#plane-0-0-relief").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for step in range(1, 6):
        page.mouse.move(box["x"] + box["width"] / 2 + 9 * step, box["y"] + box["height"] / 2 + step, steps=2)
    page.mouse.up()
    dragged = wait_for_linked(page, told[0])

    page.keyboard.down("Control")
    page.mouse.wheel(0, -80)
    page.keyboard.up("Control")
    zoomed = wait_for_linked(page, dragged[0])
    assert np.linalg.norm(zoomed[0]) < np.linalg.norm(dragged[0])

    page.focus("#plane-0-1-relief")
    page.keyboard.press("ArrowLeft")
    turned = wait_for_linked(page, zoomed[0])

    page.click("#plane-0 [data-view=reset]")
    assert wait_for_linked(page, turned[0])[0] == pytest.approx(start[0])

    page.focus("#plane-0-0-relief")
    page.keyboard.press("+")
    nearer = wait_for_linked(page, start[0])
    page.locator("#plane-0-1-relief").hover()
    page.locator("#plane-0-1-relief .modebar-btn[data-title^='Reset']").first.click()  # Plotly's own reset
    assert wait_for_linked(page, nearer[0])[1] == pytest.approx(start[0], abs=1e-4)

    page.evaluate(f"{panel(0)}.on('plotly_relayout', () => (window.late = (window.late ?? 0) + 1))")
    page.wait_for_timeout(500)
    assert not page.evaluate("window.late")  # no scene keeps telling another


def test_the_wheel_scrolls_the_page(pair, visit):
    page = visit(pair)
    page.locator("#plane-0-0-relief").hover()
    before = page.evaluate("scrollY"), cameras(page)
    page.mouse.wheel(0, 150)
    page.wait_for_function("before => scrollY > before + 100", arg=before[0])
    assert cameras(page) == before[1]


def test_every_switch_changes_what_is_drawn(pair, visit):
    page = visit(pair)
    surface = make.surface(nx=15, ny=11, value=wide)
    loss, accuracy = surface.grid("loss"), surface.grid("accuracy")
    small = loss[1] < 1

    assert page.locator("#plane-0-quantity input:checked").get_attribute("value") == "log loss"
    choose(page, "quantity", "Loss")
    np.testing.assert_allclose(heights(page)[small], loss[0][small], rtol=1e-5)
    linear_top = page.evaluate(f"{panel(0)}.layout.scene.zaxis.range[1]")
    assert linear_top < 1000  # the corner of 1e9 is cut off, and says so
    assert "off the scale" in page.locator("#plane-0 .cut").text_content()

    choose(page, "split", "Test")
    np.testing.assert_allclose(heights(page)[small], loss[1][small], rtol=1e-5)

    choose(page, "quantity", "Log loss")
    choose(page, "split", "Gap")  # which has no logarithm
    np.testing.assert_allclose(heights(page)[small], (loss[1] - loss[0])[small], rtol=1e-4, atol=1e-6)
    assert page.locator("#plane-0-quantity input[value='log loss']").is_disabled()
    assert page.locator("#plane-0-quantity input[value='loss']").is_checked()
    choose(page, "split", "Train")  # and back
    assert page.locator("#plane-0-quantity input[value='log loss']").is_checked()
    np.testing.assert_allclose(heights(page)[small], np.log10(loss[0][small]), rtol=1e-4, atol=1e-5)

    choose(page, "quantity", "Accuracy")
    np.testing.assert_allclose(heights(page), accuracy[0], rtol=1e-5)
    assert page.locator("#plane-0 .limit").is_hidden()
    choose(page, "quantity", "Error")
    np.testing.assert_allclose(heights(page), 1 - accuracy[0], rtol=1e-4, atol=1e-6)
    choose(page, "split", "Gap")
    np.testing.assert_allclose(heights(page), accuracy[0] - accuracy[1], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(heights(page, kind="contour"), accuracy[0] - accuracy[1], rtol=1e-3, atol=1e-6)


def test_heights_are_clipped_where_asked(pair, visit):
    page = visit(pair)
    for key in ("Home", "End"):
        page.locator("#plane-0-limit").press(key)
        page.wait_for_function(
            f"""() => {{
              const scale = planes[0].scale;
              return {panel(0)}.data[0].cmax === scale.top && {panel(0, "contour")}.data[0].zmax === scale.top;
            }}"""
        )
    assert page.evaluate(f"{panel(0)}.data[0].cmax") > 8.9  # the corner of 1e9, on a log scale
    assert page.locator("#plane-0 .cut").text_content() == ""
    assert page.locator("#plane-0 .limit output").text_content() == "whole range"
    assert page.evaluate(f"{panel(1)}.data[0].cmax") == page.evaluate(f"{panel(0)}.data[0].cmax")


def test_contour_lines_wires_and_the_floor(pair, visit):
    page = visit(pair)
    main = f"{panel(0)}.data[0]"
    page.locator("#plane-0-levels").uncheck()
    page.wait_for_function(f"() => !{main}.contours.z.show")
    assert page.evaluate(f"{panel(0, 'contour')}.data[0].contours.showlines")  # those have a switch of their own
    page.locator("#plane-0-lines").uncheck()
    page.wait_for_function(f"() => !{panel(0, 'contour')}.data[0].contours.showlines")

    page.locator("#plane-0-style label", has_text="Wireframe").click()
    page.wait_for_function(f"() => {main}.hidesurface && {main}.contours.x.show && {main}.contours.y.show")
    page.locator("#plane-0-style label", has_text="Filled").click()
    page.wait_for_function(f"() => !{main}.hidesurface && !{main}.contours.x.show")

    assert "floor" not in roles(page, panel(0))
    page.locator("#plane-0-floor").check()
    page.wait_for_function(f"() => {panel(0)}.data.some(trace => trace.meta?.role === 'floor')")
    x, y, z, levels, bottom, top = page.evaluate(
        f"""() => {{
          const floor = {panel(0)}.data.find(trace => trace.meta?.role === 'floor');
          const [low, high] = {panel(0)}.layout.scene.zaxis.range;
          return [floor.x, floor.y, floor.z, floor.line.color, low, high];
        }}"""
    )
    assert all(bottom < height < bottom + 0.01 * (top - bottom) for height in z)
    grid = np.log10(make.surface(nx=15, ny=11, value=wide).grid()[0])
    alpha, beta = np.linspace(-1, 1, 15), np.linspace(-0.5, 0.5, 11)
    seen = 0
    for u, v, level in zip(x, y, levels, strict=True):
        if u is None:
            continue
        # A line of this level crosses the cell it is in: the level lies between the cell's corners.
        column, row = min(int((u + 1) * 7), 13), min(int((v + 0.5) * 10), 9)
        near = grid[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        assert near.min() - 1e-5 <= level <= near.max() + 1e-5, (u, v, level)
        assert alpha[0] <= u <= alpha[-1]
        assert beta[0] <= v <= beta[-1]
        seen += 1
    assert seen > 100
    page.locator("#plane-0-floor").uncheck()
    page.wait_for_function(f"() => !{panel(0)}.data.some(trace => trace.meta?.role === 'floor')")


def test_contours_have_levels_in_log_steps_or_even_ones(pair, visit):
    page = visit(pair)
    surface = make.surface(nx=15, ny=11, value=wide)
    small = surface.grid()[0] < 1
    choose(page, "quantity", "Loss")  # the heights; contours stay in log steps
    np.testing.assert_allclose(
        heights(page, kind="contour")[small], np.log10(surface.grid()[0][small]), rtol=1e-4, atol=1e-5
    )
    contours = page.evaluate(f"{panel(0, 'contour')}.data[0].contours")
    assert (contours["start"] / contours["size"]) % 1 == pytest.approx(0, abs=1e-6)
    choose(page, "steps", "Even steps", kind="contour")
    np.testing.assert_allclose(heights(page, kind="contour")[small], surface.grid()[0][small], rtol=1e-4)
    assert "log" not in page.locator("#plane-0 .contour-scale .scale-title").text_content()
    choose(page, "quantity", "Accuracy")
    assert page.locator("#plane-0-steps input[value=log]").is_disabled()


def test_two_surfaces_are_laid_over_each_other(pair, visit):
    page = visit(pair)
    overlay = "document.getElementById('plane-0-overlay')"
    page.locator("#plane-0-layout label", has_text="Overlay").click()
    page.wait_for_function(f"() => {overlay}._fullLayout?.scene?._scene?.glplot.objects.length >= 2", timeout=60_000)
    assert page.locator("#plane-0 .reliefs").is_hidden()
    data = page.evaluate(f"{overlay}.data.map(t => [t.type, t.opacity, t.colorscale[1][1]])")
    assert [(kind, opacity) for kind, opacity, _ in data] == [("surface", 1), ("surface", 0.55)]
    assert data[0][2] != data[1][2]
    page.wait_for_function("() => live.size === 1")  # the scenes side by side are put away

    page.locator("#plane-0-first-opacity").press("Home")
    page.wait_for_function(f"() => {overlay}.data[0].opacity === 0.1")
    page.locator("#plane-0-first").select_option("1")
    page.wait_for_function(f"() => {overlay}.data[0].colorscale[1][1] === '{data[1][2]}'")
    assert page.evaluate(f"{overlay}.data[1].colorscale[1][1]") != data[1][2]  # the same surface twice: two colours
    page.locator("#plane-0-floor").check()
    page.wait_for_function(f"() => {overlay}.data.filter(t => t.meta?.role === 'floor').length === 2")
    before = page.evaluate(f"JSON.stringify({overlay}.data[0].z)")
    page.locator("#plane-0-split").get_by_label("Test").click()
    page.wait_for_function(f"before => JSON.stringify({overlay}.data[0].z) !== before", arg=before)

    page.focus("#plane-0-overlay")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(
        f"() => Math.abs({overlay}._fullLayout.scene._scene.getCamera().eye.x - planes[0].cameras.home.eye.x) > 0.01"
    )
    turned = page.evaluate("planes[0].cameras.camera.eye")
    page.locator("#plane-0-layout label", has_text="Side by side").click()
    page.wait_for_function(f"() => {panel(1)}._fullLayout?.scene?._scene?.glplot.objects.length > 0", timeout=60_000)
    for eye in cameras(page):  # they take over the camera
        assert eye == pytest.approx([turned[axis] for axis in "xyz"])
    assert page.evaluate("live.size") == 2


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    results = {"a/pca": kinds.pca_surface("a", nx=9, ny=9), "a/trajectory": kinds.trajectory("a")}
    return write_report(results, tmp_path_factory.mktemp("paths") / "report.html")


def test_the_trajectory_plays_over_the_epochs(paths, visit):
    page = visit(paths)
    trajectory = kinds.trajectory("a")
    shown = f"{panel(0, 'contour')}.data.filter(t => t.meta?.mark === 'trajectory')"
    np.testing.assert_allclose(page.evaluate(f"{shown}[1].x"), trajectory.alpha, rtol=1e-6)
    np.testing.assert_allclose(page.evaluate(f"{shown}[1].y"), trajectory.beta, rtol=1e-6, atol=1e-7)
    words = page.locator("#plane-0 .player output")
    assert words.text_content().startswith("6 of 6: 0 off the plane")

    page.locator("#plane-0-time").press("ArrowLeft")
    page.wait_for_function(f"() => {shown}[1].x.length === 6")
    assert words.text_content().startswith(f"5 of 6: {float(f'{trajectory.residuals[5]:.3g}')} off the plane")
    end = page.evaluate(f"[{shown}[3].x[0], {shown}[3].y[0]]")
    np.testing.assert_allclose(end, [trajectory.alpha[5], trajectory.beta[5]], rtol=1e-6)
    on_surface = f"{panel(0)}.data.find(t => t.meta?.mark === 'trajectory')"
    page.wait_for_function(f"() => {on_surface}.x.length === 6")

    page.locator("#plane-0-time").press("End")
    page.locator("#plane-0-play").click()  # from the start again
    page.wait_for_function(f"() => {shown}[1].x.length <= 3")
    page.wait_for_function(f"() => {shown}[1].x.length === 7 && !planes[0].player.playing", timeout=60_000)
    assert page.locator("#plane-0-play").text_content() == "Play"


def test_the_path_lies_on_the_surface(paths, visit):
    page = visit(paths)
    surface, trajectory = kinds.pca_surface("a", nx=9, ny=9), kinds.trajectory("a")
    path = page.evaluate(f"{panel(0)}.data.find(t => t.meta?.mark === 'trajectory').z")
    low, high = page.evaluate("[planes[0].scale.bottom, planes[0].scale.top]")
    drawn = heights(page)
    for index, height in enumerate(path):
        place = trajectory.alpha[index], trajectory.beta[index]
        expected = grids.height_at(surface, drawn, *place)
        if np.isnan(expected):
            assert height is None  # beyond the grid
        else:
            assert height == pytest.approx(min(expected, high) + 0.02 * (high - low), abs=1e-4)
    assert sum(height is not None for height in path) >= 4


def test_measured_points_of_an_estimate_can_be_shown(tmp_path, visit):
    page = visit(write_report({"a/plane": make.estimated("a")}, tmp_path / "report.html"))
    assert "within 0.91% at 95%" in page.locator("#plane-0").text_content()
    assert "measured" not in roles(page, panel(0, "contour"))
    page.locator("#plane-0-measured").check()
    page.wait_for_function(f"() => {panel(0, 'contour')}.data.find(t => t.meta?.role === 'measured')?.x.length === 3")


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
    assert page.locator("#summary h3").first.text_content() == "sam against adam, 3 pairs"


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
    page.wait_for_function(f"() => {overlay}._fullLayout?.scene?._scene?.glplot.objects.length >= 2", timeout=60_000)
    assert "&lt;img" in page.evaluate(f"{overlay}.data[0].hovertemplate")


def test_without_webgl_there_are_contours_and_a_message(pair, chromium, visit):
    plain = chromium("--disable-3d-apis")
    page = visit(pair, within=plain)
    assert page.locator("#no-webgl").is_visible()
    assert page.locator("#plane-0-0-relief").is_hidden()
    assert page.locator("#plane-0 .solid").is_hidden()  # and its switches with it
    assert page.locator("#plane-0-0-contour .contourlayer").count() == 1
    page.locator("#plane-0-split label", has_text="Test").click()
    page.wait_for_function(f"() => {panel(0, 'contour')}.data[0].z[5][7] > -1.8")


def test_many_surfaces_do_not_exhaust_the_browser(tmp_path, visit):
    results = {f"c{index:02}/plane": make.surface(f"c{index:02}", nx=5, ny=5) for index in range(12)}
    page = visit(write_report(results, tmp_path / "report.html"))
    page.set_viewport_size({"width": 1280, "height": 420})
    for index in (0, 11, 0):
        page.locator(f"#plane-0-{index}-relief").scroll_into_view_if_needed()
        page.wait_for_function(
            f"() => {panel(index)}._fullLayout?.scene._scene.glplot.objects.length > 0", timeout=60_000
        )
        page.wait_for_function("() => live.size <= Math.max(8, [...live].filter(scene => scene.visible).length)")
        assert page.evaluate("live.size") < 12
