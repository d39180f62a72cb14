"""3-D scenes: drawn, linked, laid over each other, put away, and what there is without WebGL."""

import numpy as np
import pytest
from cases import driving as drive
from cases import synthetic as make

from landscape.figures.report.page import write_report

pytestmark = pytest.mark.browser


panel, cameras, wait_for_linked, heights = drive.panel, drive.cameras, drive.wait_for_linked, drive.heights


def test_surfaces_are_drawn_in_3d_with_the_measured_values(pair, visit):
    page = visit(pair)
    surface = make.surface(nx=15, ny=11, value=drive.wide)
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
    page.locator("#plane-0-1-relief .modebar-btn[data-title^='Reset']").first.click()
    assert wait_for_linked(page, nearer[0])[1] == pytest.approx(start[0])

    up = "{'scene.camera.eye.x': 0.5}"  # a part of a camera, as Plotly's own buttons tell it
    page.evaluate(f"Plotly.relayout({panel(0)}, {up})")
    assert wait_for_linked(page, start[0])[1][0] == pytest.approx(0.5)

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


def test_two_surfaces_are_laid_over_each_other(pair, visit):
    page = visit(pair)
    overlay = "document.getElementById('plane-0-overlay')"
    page.locator("#plane-0-layout label", has_text="Overlay").click()
    page.wait_for_function(f"() => {overlay}._fullLayout?.scene?._scene?.glplot.objects.length >= 2")
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
    page.wait_for_function(f"() => {panel(1)}._fullLayout?.scene?._scene?.glplot.objects.length > 0")
    for eye in cameras(page):  # they take over the camera
        assert eye == pytest.approx([turned[axis] for axis in "xyz"])
    assert page.evaluate("live.size") == 2


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
        page.wait_for_function(f"() => {panel(index)}._fullLayout?.scene._scene.glplot.objects.length > 0")
        page.wait_for_function("() => live.size <= Math.max(8, [...live].filter(scene => scene.visible).length)")
        assert page.evaluate("live.size") < 12
