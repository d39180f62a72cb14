"""Lines: figure, blocks of families and of what lies between checkpoints, provenance and CSV columns."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from landscape.figures.blocks.alternatives import PageBlock, alternatives
from landscape.figures.blocks.block import Block, Control, LegendEntry, Plot, dashes, legend_entries, strip_layout
from landscape.figures.blocks.tables import Cell, Head, Table
from landscape.figures.grouping.comparability import cautions
from landscape.figures.grouping.families import connection, families, is_between, seeds
from landscape.figures.grouping.headings import (
    BATCHNORM_MODES,
    distinct,
    largest_sample,
    line_heading,
    sample_text,
    with_sample,
)
from landscape.figures.kinds.result_kind import ResultKind
from landscape.figures.kinds.sampled import sampled_phrase, sampled_table
from landscape.figures.plots.barrier import endpoints
from landscape.figures.plots.basin_width import width_texts
from landscape.figures.plots.line import line_figure, scale_of
from landscape.results import (
    LineResult,
    Result,
)

Lines = dict[str, LineResult | list[LineResult]]  # by label of the curve
Families = Mapping[str, Mapping[str, list[LineResult]]]  # by family, then by checkpoint label


def _blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[PageBlock]:
    return [*line_blocks(results, colours), *between_blocks(results)]


def line_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[PageBlock]:
    """Return a block for each family of lines around checkpoints; those of one kind stand behind a switch."""
    by_family = families(results)
    in_modes = _modes(by_family)
    by_heading: dict[str, dict[str, Block]] = {}  # then by family
    for index, (family, by_label) in enumerate(by_family.items()):
        members = list(itertools.chain(*by_label.values()))
        mode = BATCHNORM_MODES.get(str(members[0].attributes.get("batchnorm")), "") if family in in_modes else ""
        title = MODES if mode else line_heading(members) or family
        heading = f"{title}: {mode.lower()}" if mode else with_sample(title, members)
        block = _family_block(f"line-{index}", heading, by_label, results, colours)
        by_heading.setdefault(title, {})[family] = block
    return [one for title, blocks in by_heading.items() for one in _switch(title, blocks, by_family)]


MODES = "BatchNorm statistics along the path"


def _switch(title: str, blocks: Mapping[str, Block], by_family: Families) -> list[PageBlock]:
    """Return the blocks of one heading behind a switch: of BatchNorm modes, or of samples."""
    lines = {family: list(itertools.chain(*by_family[family].values())) for family in blocks}
    if title == MODES:
        texts = [block.heading.partition(": ")[2].capitalize() for block in blocks.values()]
        return alternatives(list(blocks.values()), distinct(texts, list(blocks)), legend="Statistics")
    texts = [f"{len(members[0].alpha)} points, {sample_text(members)}".rstrip(", ") for members in lines.values()]
    chosen = largest_sample(list(lines.values()))
    return alternatives(list(blocks.values()), distinct(texts, list(blocks)), legend="Measured at", chosen=chosen)


def _modes(by_family: Families) -> set[str]:
    """Return the families that hold the lines of another one in a further BatchNorm mode."""
    paths: dict[Any, dict[str, str]] = {}
    for family, by_label in by_family.items():
        path = tuple(
            (label, tuple((line.alpha.tobytes(), *_hashes(line)) for line in lines))
            for label, lines in sorted(by_label.items())
        )
        if all(_hashes(line) for lines in by_label.values() for line in lines):
            first = next(iter(by_label.values()))[0]
            paths.setdefault(path, {})[family] = str(first.attributes.get("batchnorm"))
    return {family for modes in paths.values() if len(set(modes.values())) > 1 for family in modes}


def _hashes(line: LineResult) -> tuple[str, ...]:
    return tuple((line.attributes.get("directions") or {}).get("hashes") or ())


def _family_block(
    identity: str,
    heading: str,
    by_label: Mapping[str, list[LineResult]],
    results: Mapping[str, Result],
    colours: Mapping[str, int],
) -> Block:
    curves: dict[str, Lines] = {
        "each": {label: lines if len(lines) > 1 else lines[0] for label, lines in by_label.items()}
    }
    recipes = _by_recipe(by_label)
    if recipes:
        curves["recipe"] = recipes
    members = list(itertools.chain(*by_label.values()))
    shown = [key for key, line in results.items() if any(line is member for member in members)]
    return _block(identity, heading, curves, shown, colours, by_label)


def between_blocks(results: Mapping[str, Result]) -> list[Block]:
    """Return a block for each two checkpoints with the lines, straight and curved, between them."""
    groups: dict[tuple[str, str], dict[str, LineResult]] = {}
    for key, result in results.items():
        if isinstance(result, LineResult) and is_between(result):
            groups.setdefault(endpoints(result), {})[key] = result
    blocks = []
    for index, (ends, lines) in enumerate(groups.items()):
        names = [connection(line) for line in lines.values()]
        result_names = [key.rpartition("/")[2] for key in lines]
        labels = [n if names.count(n) == 1 else f"{n} {k}" for n, k in zip(names, result_names, strict=True)]
        curves: dict[str, Lines] = {"each": dict(zip(labels, lines.values(), strict=True))}
        blocks.append(
            _block(f"between-{index}", f"Between checkpoints: {ends[0]} → {ends[1]}", curves, list(lines), None, {})
        )
    return blocks


def _by_recipe(by_label: Mapping[str, Sequence[LineResult]]) -> Lines:
    """Return the lines of runs that differ in nothing but their seed together; {} where there are none such."""
    recipes = seeds({label: lines[0] for label, lines in by_label.items()})
    if all(len(labels) == 1 for labels in recipes.values()):
        return {}
    lines = {recipe: [line for label in labels for line in by_label[label]] for recipe, labels in recipes.items()}
    same_axes = all(len({line.alpha.tobytes() for line in members}) == 1 for members in lines.values())
    return dict(lines) if same_axes else {}


def _block(
    identity: str,
    heading: str,
    curves: Mapping[str, Lines],
    shown: list[str],
    colours: Mapping[str, int] | None,
    by_label: Mapping[str, Sequence[LineResult]],
) -> Block:
    """Return a block of lines, switchable between linear and log, and between checkpoints and recipes."""
    everything = [
        line for curve in curves["each"].values() for line in ([curve] if isinstance(curve, LineResult) else curve)
    ]
    metrics = list(dict.fromkeys(metric for line in everything for metric in line.metrics))
    splits = list(dict.fromkeys(split for line in everything for split in line.splits))
    height = Control(f"{identity}-height", "Loss scale", {"linear": "Linear", "log": "Log"}, "linear")
    by = Control(f"{identity}-by", "Curves", {"recipe": "By recipe", "each": "Each"}, "recipe")
    grouped = [by] if len(curves) > 1 else []
    plots, controls = [], grouped.copy()
    notes = [cautions({str(index): line for index, line in enumerate(everything)}, but=_varied(everything))]
    for metric in metrics:
        scale = scale_of(curves["each"], metric)
        both = metric == "loss" and scale_of(curves["each"], metric, log=True).log
        if both:
            controls = [Control(height.id, height.legend, height.options, "log" if scale.log else "linear"), *grouped]
        variants: dict[str, Any] = {}
        for log, grouping in itertools.product((False, True) if both else (scale.log,), curves):
            palette = _palette(curves[grouping], colours, by_label)
            figure = line_figure(curves[grouping], metrics=[metric], log=log, colours=palette)
            values = [*(["log" if log else "linear"] if both else []), *([grouping] if grouped else [])]
            variants["|".join(values)] = strip_layout(figure, t=28 if colours is None else 12)
        notes.append(scale.note([line.grid(metric) for line in everything if metric in line.metrics]))
        alt = f"{metric} along a line through weight space, {', '.join(splits)}: {', '.join(curves['each'])}"
        chosen_by = [*([height.id] if both else []), *(control.id for control in grouped)]
        plots.append(Plot(f"{identity}-{metric}", alt, variants, chosen_by, metric[:1].upper() + metric[1:]))
    legend = _legend(curves, colours, by_label, by.id if grouped else "")
    return Block(
        f"{identity}-block",
        heading,
        plots,
        shown,
        caution=" ".join(filter(None, notes)),
        note=_bands(curves),
        controls=controls,
        legend=legend,
        dashes=dashes(splits),
        tables=_widths(by_label),
    )


def _varied(lines: Sequence[LineResult]) -> tuple[str, ...]:
    """Return the settings that lines of one family differ in by design: the seeds of their directions."""
    return ("directions.seed",) if any(line.attributes.get("family") for line in lines) else ()


def _palette(
    curves: Lines, colours: Mapping[str, int] | None, by_label: Mapping[str, Sequence[LineResult]]
) -> dict[str, int] | None:
    """Return the colour of each curve: its checkpoint's, of a recipe that of its first checkpoint."""
    if colours is None:
        return None
    palette = dict(colours)
    for recipe, labels in seeds({label: lines[0] for label, lines in by_label.items()}).items():
        palette.setdefault(recipe, colours.get(labels[0], 0))
    return {label: palette.get(label, index) for index, label in enumerate(curves)}


def _legend(
    curves: Mapping[str, Lines],
    colours: Mapping[str, int] | None,
    by_label: Mapping[str, Sequence[LineResult]],
    control: str,
) -> list[LegendEntry]:
    if colours is None:  # between two checkpoints: nothing to tell apart but the connections
        names = list(curves["each"])
        return [LegendEntry(name, index, switch=False) for index, name in enumerate(names)] if len(names) > 1 else []
    legend = []
    for grouping, lines in curves.items():
        palette = _palette(lines, colours, by_label) or {}
        when = (control, grouping) if control else ("", "")
        legend += legend_entries(list(lines), palette, switch=grouping == "each", when=when)
    return legend


def _bands(curves: Mapping[str, Lines]) -> str:
    """Return the meaning of the bands: standard errors of single lines, or the spread of several."""
    counts = {len(curve) for curve in curves["each"].values() if not isinstance(curve, LineResult)}
    single = any(isinstance(curve, LineResult) for curve in curves["each"].values())
    sentences = []
    if counts:
        several = " or ".join(str(count) for count in sorted(counts))
        spread = "bands reach from quartile to quartile, and fainter from least to most"
        sentences.append(f"Curves are medians over {several} directions; {spread}.")
    if single:
        which = "Bands of single lines" if counts or "recipe" in curves else "Bands"
        sentences.append(f"{which}: ± 1 standard error over the examples.")
    if "recipe" in curves:
        sentences.append("By recipe: the median over its seeds, with the same bands of spread.")
    return " ".join(sentences)


def _widths(by_label: Mapping[str, Sequence[LineResult]]) -> list[Table]:
    """Return a table of basin widths, where they were measured."""
    cells = {label: dict(width_texts(list(lines))) for label, lines in by_label.items()}
    rises = sorted({rise for by_rise in cells.values() for rise in by_rise})
    if not rises:
        return []
    head = [Head("Basin width", small="radius at which the loss has risen"), *(Head(n, checkpoint=n) for n in cells)]
    rows = [[Cell(f"by {rise:g}"), *(Cell(cells[label].get(rise, "")) for label in cells)] for rise in rises]
    return [
        Table(
            "Basin widths",
            head,
            rows,
            note="Median and quartiles over the directions and both their sides.",
            folded="Basin widths as a table",
        )
    ]


KIND = ResultKind(LineResult, line_figure, "Lines", _blocks, sampled_phrase, sampled_table)
