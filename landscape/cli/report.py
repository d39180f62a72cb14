"""`landscape report`: one interactive page of results."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from landscape.cli import console
from landscape.cli.options import default, expand, expect
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from landscape.results import Result


@dataclass(frozen=True)
class Report:
    """Write one self-contained HTML page of the results in analysis files; it needs no network and no server."""

    out: Annotated[str, arg(metavar="F.html")] = "report.html"
    """The page; one that is there is replaced."""
    title: Annotated[str | None, default("the names of the checkpoints", "TEXT")] = None
    """Its title."""
    open: bool = False
    """Open it in the browser."""
    files: Positional[
        Annotated[tuple[str, ...], default("the latest in results/, figures/, demo/ or .", "[FILE ...]")]
    ] = ()
    """Analysis files (.h5)."""

    def run(self) -> None:
        """Write the page, and open it if asked."""
        from landscape.figures.report import write_report

        out = expand(self.out)
        html = out.suffix.lower() in (".html", ".htm")
        expect(html, "--out", self.out, "a name that ends in .html, since a file of that name is replaced")
        paths = [expand(name) for name in self.files] or [latest()]
        results = merged(paths)
        if not results:
            raise LandscapeError(f"{', '.join(map(str, paths))}: no results yet; see landscape surface --help")
        path = write_report(results, out, title=self.title, sources=[str(path) for path in paths])
        console.say(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
        if self.open:
            open_in_browser(path)
        else:
            files = " ".join(shlex.quote(str(path)) for path in paths)
            console.say(f"next: open it in a browser, or landscape report {files} --open")


def merged(paths: Sequence[Path]) -> dict[str, Result]:
    """Return the results of several files; of those with the same name, the later files' get their file's name too."""
    from landscape.store import load

    everything: dict[str, Result] = {}
    for path in dict.fromkeys(paths):
        for name, result in load(path).items():
            label, _, rest = name.partition("/")
            place, number = name, 1
            while place in everything:
                again = f" {number}" if number > 1 else ""
                place = f"{label} ({path.stem}{again})/{rest}"
                number += 1
            everything[place] = result
    return everything


def latest() -> Path:
    """Return the newest analysis file near here.

    Raises:
        LandscapeError: where there is none.
    """
    from landscape.store import is_analysis_file

    found = [path for folder in (".", "results", "figures", "demo") for path in Path(folder).glob("*.h5")]
    newest_first = sorted(found, key=lambda file: file.stat().st_mtime, reverse=True)
    path = next(filter(is_analysis_file, newest_first), None)
    if path is None:
        raise LandscapeError(
            "no analysis file (.h5) here or in results/, figures/ or demo/; make one with landscape surface or demo"
        )
    console.say(f"the latest analysis file is {path}")
    return path


def open_in_browser(path: Path) -> None:
    """Open a page in the user's browser, or say where it is."""
    import webbrowser

    try:
        opened = webbrowser.open(path.resolve().as_uri())
    except webbrowser.Error:
        opened = False
    if not opened:
        console.say(f"no browser could be opened here; open {path} yourself")
