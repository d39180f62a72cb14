"""One self-contained HTML page of any mixture of results: offline, no server, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from landscape.errors import LandscapeError
from landscape.figures.blocks.alternatives import PageBlock, flatten
from landscape.figures.blocks.block import Block
from landscape.figures.blocks.json_payload import script_json
from landscape.figures.blocks.surface_block import SurfaceBlock
from landscape.figures.grouping.labels import shorten
from landscape.figures.kinds.registry import KINDS, SECTIONS
from landscape.figures.report.first_screen import first_screen
from landscape.figures.report.paired_seeds import colours_of, comparisons
from landscape.figures.report.provenance import origin, provenance
from landscape.figures.report.summary import checkpoints, key_numbers
from landscape.figures.style import theme
from landscape.results import Result
from landscape.storage.atomic_write import write_atomically

SCRIPTS = (  # before plotly.js, and after it
    ("page.js", "theme.js", "print.js", "copy.js", "tables.js"),
    (
        *("drawing.js", "plots.js"),
        *("grids.js", "isolines.js", "cameras.js", "scenes.js", "path.js", "planes.js", "overlay.js", "player.js"),
        *("alternatives.js", "navigation.js", "start.js"),
    ),
)
# The scripts start after the first paint: reading 5 MB of them takes a second that the text need not wait for.
START = """requestAnimationFrame(() => setTimeout(() => {
  for (const waiting of document.querySelectorAll('script[type="text/plain"]')) {
    const script = document.createElement("script");
    script.textContent = waiting.textContent;
    waiting.replaceWith(script);
  }
}));"""


def write_report(
    results: Mapping[str, Result], path: str | Path, *, title: str | None = None, sources: Sequence[str] = ()
) -> Path:
    """Write the report and return its path; an existing file is replaced whole or not at all.

    >>> import pathlib, tempfile, landscape
    >>> from landscape.results import MeasureResult, SharpnessResult
    >>> measure = MeasureResult("sam", "SAM sharpness, ρ = 0.05", 0.02, 0.001, "rise of the loss", evaluations=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "report.html"
    ...     landscape.write_report({"mine/sharpness": SharpnessResult((measure,))}, path).name
    'report.html'

    Args:
        results: The results by "<checkpoint label>/<name>", as `landscape.storage.loading.load` gives them.
        path: The HTML file to write.
        title: A heading; by default one that names the checkpoints.
        sources: The analysis files that the results come from; only their names are shown.

    Raises:
        LandscapeError: There is nothing to show, or the file cannot be written.

    Example:
        >>> import numpy as np, tempfile
        >>> from landscape.results import HistoryResult
        >>> run = HistoryResult({"epoch": np.arange(1.0, 4.0), "train_loss": np.array([2.0, 1.0, 0.5])})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report({"mine/history": run}, f"{folder}/report.html").name
        'report.html'
    """
    page = render_report(results, title=title, sources=sources).encode("utf-8")
    write_atomically(path, lambda file: file.write(page))
    return Path(path)


def render_report(results: Mapping[str, Result], *, title: str | None = None, sources: Sequence[str] = ()) -> str:
    """Return the report as HTML; arguments as in `write_report`."""
    if not results:
        raise LandscapeError("expected at least one result to report, got none; run landscape surface or hessian first")
    stored = results
    results, full = shorten(stored, list(checkpoints(stored)))
    named = checkpoints(results)
    labels = list(named)
    rows = key_numbers(named)
    compared = comparisons(named, rows)
    colours = colours_of(labels, compared)
    sections = _sections(results, colours)
    blocks = list(flatten(block for section in sections.values() for block in section))
    planes = [block for block in blocks if isinstance(block, SurfaceBlock)]
    before, after = ("\n".join(map(_resource, names)) for names in SCRIPTS)
    scripts = [before, get_plotlyjs(), after]
    context = {
        "title": title or _title(labels),
        "facts": _facts(results),
        "sources": [Path(source).name for source in sources],
        "colours": colours,
        "first": first_screen(results, named, rows, compared, colours, planes),
        "sections": sections,
        "origin": lambda keys: origin([full[key] for key in keys], stored),
        "provenance": [provenance(key, result) for key, result in stored.items()],
        "data": script_json(_data(blocks)),
        "scripts": [Markup(script) for script in scripts],
        "start": Markup(START),
        "policy": _policy([*scripts, START]),
        "style": Markup(_resource("report.css")),
        "light": theme.LIGHT,
        "dark": theme.DARK,
    }
    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tied"] = lambda text: (
        str(text).replace(" = ", "\u00a0=\u00a0").replace("× ", "×\u00a0")
    )  # no line break
    return environment.get_template("report.html").render(context)


def _sections(results: Mapping[str, Result], colours: Mapping[str, int]) -> dict[str, list[PageBlock]]:
    """Return the blocks of each section that has any, in the order of the page."""
    sections: dict[str, list[PageBlock]] = {name: [] for name in SECTIONS}
    for kind in KINDS:
        sections.setdefault(kind.section, []).extend(kind.blocks(results, colours))
    return {name: blocks for name, blocks in sections.items() if blocks}


def _resource(name: str) -> str:
    return files("landscape.figures.report").joinpath("templates", name).read_text("utf-8")


def _data(blocks: Sequence[Block | SurfaceBlock]) -> dict[str, Any]:
    """Return the data that the page's script draws from."""
    return {
        "templates": {name: theme.template(colours).to_plotly_json() for name, colours in _THEMES.items()},
        "darkOfLight": theme.dark_of_light(),
        "shades": {name: [theme.shades(one) for one in colours.series] for name, colours in _THEMES.items()},
        "planes": [block.data for block in blocks if isinstance(block, SurfaceBlock)],
        "plots": {plot.id: asdict(plot) for block in blocks if isinstance(block, Block) for plot in block.plots},
    }


_THEMES = {"light": theme.LIGHT, "dark": theme.DARK}


def _title(labels: Sequence[str]) -> str:
    if len(labels) in (1, 2):
        return f"Loss landscape of {' and '.join(labels)}"
    return f"Loss landscapes of {len(labels)} checkpoints" if labels else "Between checkpoints"


def _facts(results: Mapping[str, Result]) -> list[str]:
    """Return model, data, dates and versions of the results, for the line above the title."""
    attributes = [result.attributes for result in results.values()]
    models = {str(a["model"]) for a in attributes if a.get("model")}
    data = {str(a["data"].get("name") or a["data"].get("kind")) for a in attributes if a.get("data")}
    days = sorted({str(a["created"])[:10] for a in attributes if a.get("created")})
    versions = {str(a["landscape_version"]) for a in attributes if a.get("landscape_version")}
    subject = " on ".join(", ".join(sorted(names)) for names in (models, data) if names)
    facts = [subject] if subject else []
    facts += [f"measured {' to '.join(dict.fromkeys([days[0], days[-1]]))}"] if days else []
    return facts + ([f"landscape {', '.join(sorted(versions))}"] if versions else [])


def _policy(scripts: Sequence[str]) -> str:
    """Return a content security policy: only these very scripts run, and nothing is fetched from anywhere."""
    digests = [base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"
