"""What commands that take second derivatives share: the mode of BatchNorm, warnings in one line, the time ahead."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.determinism import LossWarning
from landscape.cli.options.analysis import MeasureOptions
from landscape.cli.terminal import console
from landscape.cli.terminal.warned import in_one_line
from landscape.stats import number_format


def statistics_mode(options: MeasureOptions) -> Any:
    """Return the mode of BatchNorm: fixed unless another is asked for."""
    return "fixed" if options.batchnorm == "auto" else options.batchnorm


def warnings_in_one_line() -> AbstractContextManager[None]:
    """Print warnings of what was measured in one line each, every one once, within this context."""
    return in_one_line(LossWarning)


def say_time(what: str, objective: Objective, operator: str, products: int, *, at_most: bool = False) -> None:
    """Say about how long some products over all the examples will take, as measured on one batch."""
    product = objective.product(operator)
    each = product.seconds()
    least = "at most " if at_most else ""
    console.say(
        f"{what}: {least}{products} products on {product.examples} examples, {each:.2g} s each: "
        f"{least}about {number_format.duration(products * each)}"
    )
