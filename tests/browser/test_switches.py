"""Every switch of a plane does what it says, checked on the data of the figures."""

from dataclasses import replace

import numpy as np
import pytest
from cases import driving as drive
from cases import synthetic as make

from landscape.figures.report.page import write_report

pytestmark = pytest.mark.browser


panel, heights, choose, roles = drive.panel, drive.heights, drive.choose, drive.roles


def test_every_switch_changes_what_is_drawn(pair, visit):
    page = visit(pair)
    surface = make.surface(nx=15, ny=11, value=drive.wide)
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
    grid = np.log10(make.surface(nx=15, ny=11, value=drive.wide).grid()[0])
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


def test_a_surface_that_is_still_being_measured_has_lines_of_its_own(tmp_path, visit):
    whole = make.surface(nx=7, ny=5)
    begun = replace(whole, points=whole.points[: 21 * 4])  # three of five rows, four rows of the table a point
    page = visit(write_report({"a/plane": begun}, tmp_path / "report.html"))
    main, drawn = f"{panel(0)}.data[0]", f"{panel(0)}.data.filter(trace => trace.meta?.role === 'lines')"
    page.wait_for_function(f"() => {drawn}.length === 1")
    assert not page.evaluate(f"{main}.contours.z.show")  # Plotly's lines beside missing points draw for seconds
    page.locator("#plane-0-style label", has_text="Wireframe").click()
    page.wait_for_function(f"() => {drawn}.length === 2")
    levels, wires = page.evaluate(drawn)
    assert not page.evaluate(f"{main}.contours.x.show || {main}.contours.y.show")
    measured = [height for row in page.evaluate(f"{main}.z")[:3] for height in row]
    assert sorted(z for z in wires["z"] if z is not None) == sorted(measured * 2)  # each point is on two wires
    heights = [height for height, x in zip(levels["z"], levels["x"], strict=True) if x is not None]
    assert heights
    assert min(measured) <= min(heights) <= max(heights) <= max(measured)  # and not lifted off wires
    assert max(y for y in levels["y"] if y is not None) <= 0  # the upper rows are not measured
    page.locator("#plane-0-levels").uncheck()
    page.wait_for_function(f"() => {drawn}.length === 1")


def test_contours_have_levels_in_log_steps_or_even_ones(pair, visit):
    page = visit(pair)
    surface = make.surface(nx=15, ny=11, value=drive.wide)
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


def test_measured_points_of_an_estimate_can_be_shown(tmp_path, visit):
    page = visit(write_report({"a/plane": make.estimated("a")}, tmp_path / "report.html"))
    assert "within 0.91% at 95%" in page.locator("#plane-0").text_content()
    assert "measured" not in roles(page, panel(0, "contour"))
    page.locator("#plane-0-measured").check()
    page.wait_for_function(f"() => {panel(0, 'contour')}.data.find(t => t.meta?.role === 'measured')?.x.length === 3")
