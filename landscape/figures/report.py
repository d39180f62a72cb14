"""One self-contained HTML page of any mixture of results: offline, no server, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from landscape.errors import LandscapeError
from landscape.figures import sections, theme
from landscape.figures.embed import script_json
from landscape.figures.planes import Plane, plane
from landscape.figures.provenance import provenance
from landscape.figures.summary import checkpoints, key_numbers, verdict
from landscape.files import write_atomically
from landscape.results import Result, Surface

SCRIPTS = (("page.js",), ("plots.js", "planes.js"))  # what runs before plotly.js, and what after
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
    """Write the report and return where it is; an existing file is replaced whole or not at all.

    Args:
        results: The results by "<checkpoint label>/<name>", as `landscape.store.load` gives them.
        path: The HTML file to write.
        title: A heading; by default one that names the checkpoints.
        sources: The analysis files that the results come from; only their names are shown.

    Raises:
        LandscapeError: There is nothing to show, or the file cannot be written.
    """
    page = render_report(results, title=title, sources=sources).encode("utf-8")
    write_atomically(path, lambda file: file.write(page))
    return Path(path)


def render_report(results: Mapping[str, Result], *, title: str | None = None, sources: Sequence[str] = ()) -> str:
    """Return the report as HTML; arguments as in `write_report`."""
    if not results:
        raise LandscapeError("expected at least one result to report, got none; run landscape surface or hessian first")
    named = checkpoints(results)
    labels = list(named)
    colours = {label: index for index, label in enumerate(labels)}
    groups = sections.by_name(results, Surface)
    planes = [plane(f"plane-{index}", name, group) for index, (name, group) in enumerate(groups.items())]
    blocks = {
        "lines": sections.line_blocks(results, colours),
        "between": sections.between_blocks(results),
        "history": sections.history_blocks(results, colours),
    }
    spectra = sections.spectrum_blocks(results, colours)
    rows = key_numbers(named)
    before, after = ("\n".join(map(_resource, names)) for names in SCRIPTS)
    scripts = [before, get_plotlyjs(), after]
    context = {
        "title": title or _title(labels),
        "facts": _facts(results),
        "sources": [Path(source).name for source in sources],
        "labels": labels,
        "colours": colours,
        "rows": rows,
        "verdict": verdict(rows, labels),
        "planes": planes,
        "spectra": spectra,
        "tables": sections.sharpness_tables(results),
        "provenance": [provenance(key, result) for key, result in results.items()],
        "dashes": sections.legend_dashes,
        "data": script_json(_data(planes, [*chain(*blocks.values()), *(block for block, _ in spectra)])),
        "scripts": [Markup(script) for script in scripts],
        "start": Markup(START),
        "policy": _policy([*scripts, START]),
        "style": Markup(_resource("report.css")),
        "light": theme.LIGHT,
        "dark": theme.DARK,
        **blocks,
    }
    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(context)


def _resource(name: str) -> str:
    return files("landscape.figures").joinpath("templates", name).read_text("utf-8")


def _data(planes: Sequence[Plane], blocks: Sequence[sections.Block]) -> dict[str, Any]:
    """Return what the page's script draws from."""
    return {
        "look": {name: theme.template(look).to_plotly_json() for name, look in _LOOKS.items()},
        "swaps": theme.swaps(),
        "planes": [plane.data for plane in planes],
        "plots": {plot.id: asdict(plot) for block in blocks for plot in block.plots},
    }


_LOOKS = {"light": theme.LIGHT, "dark": theme.DARK}


def _title(labels: Sequence[str]) -> str:
    if len(labels) in (1, 2):
        return f"Loss landscape of {' and '.join(labels)}"
    return f"Loss landscapes of {len(labels)} checkpoints" if labels else "Between checkpoints"


def _facts(results: Mapping[str, Result]) -> list[str]:
    """Return what all results have in common, for the line under the title."""
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
