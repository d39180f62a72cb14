"""Blocks of one kind behind a switch: the page shows one of them at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from landscape.figures.blocks.block import Block
from landscape.figures.blocks.surface_block import SurfaceBlock
from landscape.figures.grouping.headings import distinct, largest_sample, sample_text
from landscape.results import Result


@dataclass(frozen=True)
class Alternatives:
    """Blocks of which one is shown, chosen by a switch."""

    id: str
    legend: str  # what they differ in
    options: dict[str, str]  # block id → text
    chosen: str  # id of the block shown first
    blocks: Sequence[Block | SurfaceBlock]


PageBlock: TypeAlias = Block | SurfaceBlock | Alternatives


def alternatives(
    blocks: Sequence[Block | SurfaceBlock], texts: Sequence[str], *, legend: str, chosen: int = 0
) -> list[PageBlock]:
    """Return the blocks behind a switch; a single one as it is.

    Args:
        blocks: The blocks.
        texts: The option of each.
        legend: What they differ in, such as "Measured on".
        chosen: Position of the block shown first.
    """
    if len(blocks) < 2:
        return list(blocks)
    options = {block.id: text for block, text in zip(blocks, texts, strict=True)}
    return [Alternatives(f"{blocks[0].id}-choice", legend, options, blocks[chosen].id, blocks)]


def by_sample(blocks: Sequence[Block], groups: Mapping[str, Mapping[str, Result]]) -> list[PageBlock]:
    """Return a block for each name of results, the one on the most examples first behind a switch.

    Args:
        blocks: A block of each group, in their order.
        groups: The results by name, then by checkpoint label.
    """
    results = [list(group.values()) for group in groups.values()]
    texts = distinct([sample_text(group) for group in results], list(groups))
    return alternatives(blocks, texts, legend="Measured on", chosen=largest_sample(results))


def flatten(blocks: Iterable[PageBlock]) -> Iterator[Block | SurfaceBlock]:
    """Yield every block, those behind switches too."""
    for block in blocks:
        if isinstance(block, Alternatives):
            yield from block.blocks
        else:
            yield block
