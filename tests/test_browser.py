"""The report in a real headless Chromium: run with `pytest -m browser`."""

import runpy
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from landscape.figures.report import write_report

pytestmark = pytest.mark.browser

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic.py"))))
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


def choose(page, control, words):
    """Choose an option and wait until both kinds of panel are drawn."""
    before = page.evaluate(f"JSON.stringify({panel(0)}.data[0].z) + {panel(0)}.layout.scene.zaxis.range")
    page.locator(f"#plane-0-{control} label", has_text=words).click()
    page.wait_for_function(
        f"before => JSON.stringify({panel(0)}.data[0].z) + {panel(0)}.layout.scene.zaxis.range !== before", arg=before
    )


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

    choose(page, "mode", "Linear")
    small = loss[0] < 1
    np.testing.assert_allclose(heights(page)[small], loss[0][small], rtol=1e-5)
    linear_top = page.evaluate(f"{panel(0)}.layout.scene.zaxis.range[1]")
    assert linear_top < 1000  # the corner of 1e9 is cut off, and says so
    assert "off the scale" in page.locator("#plane-0 .cut").text_content()

    choose(page, "split", "Test")
    np.testing.assert_allclose(heights(page)[small], loss[1][small], rtol=1e-5)

    choose(page, "split", "Gap")
    np.testing.assert_allclose(heights(page)[small], (loss[1] - loss[0])[small], rtol=1e-4, atol=1e-6)
    assert page.locator("#plane-0-mode input[value=log]").is_disabled()

    choose(page, "metric", "Accuracy")
    np.testing.assert_allclose(heights(page), accuracy[0] - accuracy[1], rtol=1e-4, atol=1e-6)
    choose(page, "split", "Train")
    np.testing.assert_allclose(heights(page), accuracy[0], rtol=1e-5)
    assert page.locator("#plane-0 .limit").is_hidden()

    choose(page, "metric", "Loss")
    choose(page, "mode", "Log")
    tops = []
    for key in ("Home", "End"):
        page.locator("#plane-0-limit").press(key)
        tops.append(page.evaluate(f"({panel(0)}.layout.scene.zaxis.range[1])"))
        page.wait_for_function(f"top => {panel(0)}.data[0].cmax >= top - 1", arg=tops[-1])
    page.wait_for_function(f"() => {panel(0)}.data[0].cmax > 8.9")
    assert page.locator("#plane-0 .cut").text_content() == ""
    assert page.evaluate(f"{panel(1)}.data[0].cmax") == page.evaluate(f"{panel(0)}.data[0].cmax")

    page.locator("#plane-0-levels").uncheck()
    page.wait_for_function(
        f"() => !{panel(0)}.data[0].contours.z.show && !{panel(1, 'contour')}.data[0].contours.showlines"
    )


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
    page.locator(".origin > summary").first.click()
    page.locator(".copy").first.click()
    page.wait_for_function("() => document.querySelector('.copy').textContent === 'Copied'")


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
        for key, result in results.items()
    }
    page = visit(write_report(results, tmp_path / "report.html", title=HOSTILE, sources=[HOSTILE]))
    assert page.locator("h1").text_content() == HOSTILE
    assert page.locator("img").count() == 0
    assert HOSTILE[:20] in page.locator("#lines").text_content()
    page.locator("#plane-0-metric label", has_text="mine").click()
    page.wait_for_function(
        f"() => {panel(0, 'contour')}.layout.xaxis && {panel(0)}.layout.scene.zaxis.title.text.includes('mine')"
    )
    assert page.locator("#plane-0 .scale-title").text_content().startswith("train <i>mine</i>")


def test_without_webgl_there_are_contours_and_a_message(pair, chromium, visit):
    plain = chromium("--disable-3d-apis")
    page = visit(pair, within=plain)
    assert page.locator("#no-webgl").is_visible()
    assert page.locator("#plane-0-0-relief").is_hidden()
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
        page.wait_for_function("() => live.size <= Math.max(8, [...live].filter(panel => panel.visible).length)")
        assert page.evaluate("live.size") < 12
