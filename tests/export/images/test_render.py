"""Images drawn by kaleido: fonts, errors, formats."""

import asyncio
import sys

import numpy as np
import pytest
from cases import kinds

from landscape.errors import LandscapeError
from landscape.export.images import render
from landscape.export.images.render import ImageFile, styled, write_images
from landscape.figures.figure import compare

make = kinds.make


def test_text_is_scaled_and_its_font_replaced_everywhere():
    figure = compare({"a": make.line("a"), "b": make.line("b")}, title="T")
    larger = styled(figure, font="Times New Roman", size=26)
    plain, big = figure.layout.template.layout, larger.layout.template.layout
    assert big.xaxis.tickfont.size == 2 * plain.xaxis.tickfont.size
    assert big.xaxis.title.font.size == 2 * plain.xaxis.title.font.size
    assert big.font.size == 2 * plain.font.size == 26
    assert big.font.family == "Times New Roman"
    assert figure.layout.template.layout.font.size == 13  # the figure itself stays as it was
    assert larger.layout.font.family == "Times New Roman"
    note = styled(figure_with_note(), size=26)
    assert note.layout.annotations[0].font.size == 2 * figure_with_note().layout.annotations[0].font.size


def figure_with_note():
    return compare({"a": make.surface("a"), "b": make.surface("b")}, view="contour").update_annotations(font_size=16)


def test_a_missing_kaleido_or_browser_is_one_line_with_its_remedy(tmp_path, monkeypatch):
    images = [ImageFile(compare({"a": make.line()}), tmp_path / "a.png", 400, 300)]
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "nothing"))
    pytest.importorskip("kaleido")
    with pytest.raises(LandscapeError, match=r"BROWSER_PATH names .*; install one") as caught:
        write_images(images)
    assert "\n" not in str(caught.value)
    monkeypatch.delenv("BROWSER_PATH")

    class ChromeNotFoundError(RuntimeError):
        pass

    def refuse(coroutine):
        coroutine.close()
        raise ChromeNotFoundError("a long text\nof several lines")

    monkeypatch.setattr(asyncio, "run", refuse)
    with pytest.raises(LandscapeError, match=r"no Chromium or Chrome was found.*BROWSER_PATH") as caught:
        write_images(images)
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(LandscapeError, match=r"pip install 'landscape-toolkit\[export\]'"):
        write_images(images)
    assert not list(tmp_path.iterdir())
    write_images([])


@pytest.mark.browser
def test_images_are_drawn_in_a_real_browser_in_every_format(tmp_path):
    from PIL import Image

    figure = compare({"a": make.surface("a")}, title="")
    paths = [tmp_path / name for name in ("a.png", "a.svg", "a.pdf")]
    drawn = []
    write_images([ImageFile(figure, path, 420, 300) for path in paths], scale=2, on_image=lambda: drawn.append(1))
    assert len(drawn) == 3
    image = np.asarray(Image.open(paths[0]).convert("RGB")).astype(int)
    assert image.shape == (600, 840, 3)
    purple = np.abs(image - np.array([0x44, 0x01, 0x54])).sum(axis=-1) < 90
    assert purple.sum() > 50  # the basin: WebGL was drawn
    assert paths[1].read_text("utf-8").startswith("<svg")
    assert paths[2].read_bytes().startswith(b"%PDF")


def test_the_formats_of_images_are_those_of_the_command():
    from landscape.cli.commands import export

    assert export.IMAGES == render.FORMATS
