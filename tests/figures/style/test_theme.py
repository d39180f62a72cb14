"""Shades of a colour."""

from landscape.figures.style import theme


def test_a_ramp_goes_from_dark_to_light_through_its_colour():
    shades = theme.shades("#0072b2")
    assert shades[1] == (0.5, "#0072b2")
    sums = [sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for _, colour in shades]
    assert sums == sorted(sums)
