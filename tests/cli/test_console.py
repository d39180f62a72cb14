import io
import json
import math
import sys

import numpy as np
import pytest

from landscape.cli.terminal import console, interrupts


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("/home/me/a b.pt", "'.../a b.pt'"),
        ("folder:/data/cifar10/", "folder:.../cifar10"),
        ("npz:~/x.npz", "npz:.../x.npz"),
        ("--out=/tmp/r.h5", "--out=.../r.h5"),
        ("C:\\data\\x.pt", ".../x.pt"),
        ("/home/me/mine.py:make", ".../mine.py:make"),
        ("a/b.pt", "a/b.pt"),
        ("~notes.pt", "'~notes.pt'"),
        ("package.module:make", "package.module:make"),
    ],
)
def test_recorded_commands_hold_no_absolute_path(word: str, shown: str) -> None:
    interrupts.remember(["surface", word])
    assert console.recorded_command() == f"landscape surface {shown}"
    interrupts.remember([])


def test_json_has_no_bare_nan() -> None:
    value = {"a": np.array([1.0, np.nan, -np.inf]), "b": (math.inf, np.float32(0.5)), 3: None, "c": np.bool_(True)}
    assert console.jsonable(value) == {"a": [1.0, "nan", "-inf"], "b": ["inf", 0.5], "3": None, "c": True}


def test_json_survives_a_stream_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    console.print_json({"λ_max": 1.5})
    stream.flush()
    assert json.loads(stream.buffer.getvalue()) == {"λ_max": 1.5}  # type: ignore[attr-defined]


def test_messages_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("[red]no markup[/] :smile: \\")
    console.error("two\nlines")
    console.print_table("[title]", ["a[b]"], [["[/x] :smile:"]])
    out, err = capsys.readouterr()
    assert err == "[red]no markup[/] :smile: \\\nerror: two lines\n"
    assert "[title]" in out
    assert "[/x] :smile:" in out


def test_progress_is_lines_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("work", 2) as advance:
        advance()
        advance(1, "done")
    assert capsys.readouterr().err.startswith("work: 2/2, ")
