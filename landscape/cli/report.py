"""`landscape report`: one interactive page of results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from landscape.cli import console
from landscape.cli.options import Paths
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from landscape.results import Result


@dataclass(frozen=True)
class Report:
    """Write one self-contained HTML page of the results in analysis files; it needs no network and no server."""

    files: Paths = ()
    """Analysis files (.h5). By default the latest in results/, figures/, demo/ or this folder."""
    out: Annotated[str, arg(metavar="F.html")] = "report.html"
    """The page."""
    title: str | None = None
    """Its title."""
    open: bool = False
    """Open it in the browser."""

    def run(self) -> None:
        """Write the page, and open it if asked."""
        from landscape.figures.report import write_report

        paths = [Path(name) for name in self.files] or [latest()]
        results = merged(paths)
        if not results:
            raise LandscapeError(f"{', '.join(map(str, paths))}: no results yet; see landscape surface --help")
        path = write_report(results, Path(self.out), title=self.title, sources=[str(p) for p in paths])
        console.say(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
        if self.open:
            open_in_browser(path)
        else:
            console.say(f"next: open it in a browser, or landscape report {' '.join(map(str, paths))} --open")


def merged(paths: Sequence[Path]) -> dict[str, Result]:
    """Return the results of several files; where two have the same name, the later file's get the file's name too."""
    from landscape.store import load

    results: Mapping[str, Result] = {}
    everything: dict[str, Result] = {}
    for path in paths:
        results = load(path)
        for name, result in results.items():
            label, _, rest = name.partition("/")
            everything[name if name not in everything else f"{label} ({path.stem})/{rest}"] = result
    return everything


def latest() -> Path:
    """Return the newest analysis file near here.

    Raises:
        LandscapeError: where there is none.
    """
    found = [path for folder in (".", "results", "figures", "demo") for path in Path(folder).glob("*.h5")]
    if not found:
        raise LandscapeError(
            "no analysis file (.h5) here or in results/, figures/ or demo/; make one with landscape surface or demo"
        )
    path = max(found, key=lambda file: file.stat().st_mtime)
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
