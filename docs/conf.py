"""Sphinx configuration: MyST pages, the Furo theme, and an API reference from docstrings."""

import re

from landscape.version import __version__

project = "landscape"
author = "The landscape authors"
project_copyright = author
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "landscape"
default_role = "code"  # docstrings mark code by single backticks
autodoc_typehints = "none"  # signatures already state the types
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_use_ivar = True
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # CONTRIBUTING and CHANGELOG link relative to the repository


def escape_bars(app, what, name, obj, options, lines):
    """Escape bars and trailing underscores, which mean absolute values and names here and links in reStructuredText."""
    for number, line in enumerate(lines):
        if ">>>" not in line:
            parts = re.split(r"(`+[^`]*`+)", line)
            parts[::2] = [re.sub(r"(?<!\\)(\||\*|_(?=\W|$))", r"\\\1", part) for part in parts[::2]]
            lines[number] = "".join(parts)


def setup(app):
    """Register the hook."""
    app.connect("autodoc-process-docstring", escape_bars, priority=100)  # before napoleon, whose output has markup
