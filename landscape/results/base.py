"""The contract of a result, and the names of its fields' dimensions in files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Attributes: TypeAlias = Mapping[str, Any]  # JSON-able; see docs of each result for the keys that figures use


class Over:
    """Names of a field's dimensions in files: `eigenvalues: Annotated[Floats, Over("eigenpair")]` is (K,).

    A mapping of arrays has the dimension of all of them, and a tuple of dataclasses that of its entries.
    """

    def __init__(self, *dimensions: str) -> None:
        self.dimensions = dimensions


class Labels(Over):
    """Name of the dimension that a field labels, and under which it is stored."""


class Result(Protocol):
    """Contract of a result: a frozen dataclass with the name of its kind and JSON-able attributes."""

    kind: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def attributes(self) -> Attributes:
        """Settings, origin and cost of the measurement."""

    @property
    def finished(self) -> bool:
        """False for a measurement that was stopped and is to be resumed."""


R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Measured:
    """Base of all kinds of results.

    Attributes:
        finished: False from the first point of a measurement until everything that is derived from its points is
            stored with them; a measurement that was stopped in between is resumed.
    """

    finished: bool = field(default=True, kw_only=True)


def with_attributes(result: R, **attributes: Any) -> R:
    """Return the result with further attributes."""
    return replace(result, attributes={**result.attributes, **attributes})
