"""`landscape report`: one interactive page of results."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from landscape.cli.options.analysis import default, expect
from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.storage.user_path import make_writable_folder, user_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from landscape.results import Result


@dataclass(frozen=True)
class ReportCommand:
    """Write one self-contained HTML page of the results in analysis files; it needs no network and no server."""

    out: Annotated[str, arg(metavar="F.html")] = "report.html"
    """The page; one that is there is replaced."""
    title: Annotated[str | None, default("the names of the checkpoints", "TEXT")] = None
    """Its title."""
    open: bool = False
    """Open it in the browser."""
    watch: bool = False
    """Write it again whenever the files change, and serve it to browsers on this machine, until Ctrl-C."""
    port: Annotated[int, arg(metavar="N")] = 0
    """Port that --watch serves on; 0 takes any."""
    files: Positional[
        Annotated[tuple[str, ...], default("the latest in results/, figures/, demo/ or .", "[FILE ...]")]
    ] = ()
    """Analysis files (.h5)."""

    def run(self) -> None:
        """Write the page, and open it if asked."""
        out = user_path(self.out)
        html = out.suffix.lower() in (".html", ".htm")
        expect(html, "--out", self.out, "a name that ends in .html, since a file of that name is replaced")
        expect(0 <= self.port < 65536, "--port", self.port, "0 to 65535")
        paths = [user_path(name) for name in self.files] or [latest()]
        if self.watch:
            self._watch(paths, out)
            return
        self._write(paths, out)
        console.say(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")
        if self.open:
            open_in_browser(out)
        else:
            files = " ".join(shlex.quote(str(path)) for path in paths)
            console.say(f"next: open it in a browser, or landscape report {files} --open")

    def _write(self, paths: Sequence[Path], out: Path) -> dict[str, Result]:
        """Write the page, and return the results on it."""
        from landscape.figures.report.page import write_report

        results = merged(paths)
        if not results:
            raise LandscapeError(f"{', '.join(map(str, paths))}: no results yet; see landscape surface --help")
        write_report(results, out, title=self.title, sources=[str(path) for path in paths])
        return results

    def _watch(self, paths: Sequence[Path], out: Path) -> None:
        """Write the page whenever the files change, and serve it, until Ctrl-C."""
        from landscape.cli.terminal.live_server import Watched, follow, served

        def render() -> tuple[bytes, str]:
            text = progress(self._write(paths, out))
            console.say(text)
            return out.read_bytes(), text

        make_writable_folder(out)
        missing = [str(path) for path in paths if not path.exists()]
        if missing:
            console.say(f"waiting for {', '.join(missing)}")
        watched = Watched()
        try:
            with served(watched, port=self.port) as address:
                console.say(f"watching {', '.join(map(str, paths))} at {address} (Ctrl-C ends it)")
                if self.open:
                    open_in_browser(address)
                follow(paths, render, watched, on_error=console.warn)
        except KeyboardInterrupt:
            note = f"; the page as it was last is {out}" if watched.page else ""
            console.say(f"stopped watching{note}")


def merged(paths: Sequence[Path]) -> dict[str, Result]:
    """Return the results of several files by name; a name that is taken gets the name of its file, too."""
    from landscape.storage.loading import load

    everything: dict[str, Result] = {}
    for path in dict.fromkeys(paths):
        for name, result in load(path).items():
            label, _, rest = name.partition("/")
            key, number = name, 1
            while key in everything:
                again = f" {number}" if number > 1 else ""
                key = f"{label} ({path.stem}{again})/{rest}"
                number += 1
            everything[key] = result
    return everything


def progress(results: Mapping[str, Result]) -> str:
    """Return the progress of unfinished surfaces and lines, and the time of day."""
    from landscape.results import Sampled

    parts = []
    for name, result in results.items():
        if isinstance(result, Sampled) and not result.complete:
            cells = result.computed()
            parts.append(f"{name}: {int(cells.sum()):,} of {cells.size:,} points")
    many = "s" * (len(results) != 1)
    return f"{'; '.join(parts) or f'{len(results)} result{many}, all complete'} ({datetime.now():%H:%M:%S})"


def latest() -> Path:
    """Return the most recent analysis file of the usual folders.

    Raises:
        LandscapeError: if there is none.
    """
    from landscape.storage.loading import is_analysis_file

    paths = [path for folder in (".", "results", "figures", "demo") for path in Path(folder).glob("*.h5")]
    newest_first = [path for path in sorted(paths, key=_written, reverse=True) if is_analysis_file(path)]
    if not newest_first:
        raise LandscapeError(
            "no analysis file (.h5) here or in results/, figures/ or demo/; make one with landscape surface or demo"
        )
    others = len(newest_first) - 1
    also = f"; {others} other{'s' * (others > 1)} found, name the files to open several" if others else ""
    console.say(f"the latest analysis file is {newest_first[0]}{also}")
    return newest_first[0]


def _written(path: Path) -> float:
    """Return the time at which a file or its journal was last written to."""
    times = [0.0]
    for part in (path, path.with_name(path.name + ".journal")):
        with contextlib.suppress(OSError):  # a journal goes when what it is of is complete
            times.append(part.stat().st_mtime)
    return max(times)


def open_in_browser(page: Path | str) -> None:
    """Open a file or an address in the user's browser, or print which to open."""
    import webbrowser

    try:
        opened = webbrowser.open(page.resolve().as_uri() if isinstance(page, Path) else page)
    except webbrowser.Error:
        opened = False
    if not opened:
        console.say(f"no browser could be opened here; open {page} yourself")
