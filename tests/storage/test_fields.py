"""Fields of a dataclass as members of an HDF5 group."""

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
from typing_extensions import TypeAliasType

from landscape.results import Over
from landscape.storage.fields import stored_fields

S = TypeVar("S", bound=np.generic)
AliasedArray = TypeAliasType("AliasedArray", np.ndarray[tuple[Any, ...], np.dtype[S]], type_params=(S,))


@dataclass(frozen=True)
class Aliased:
    values: Annotated[AliasedArray[np.float64], Over("x")]  # as numpy's NDArray is from 2.5 on


@dataclass(frozen=True)
class Plain:
    values: Annotated[np.ndarray[Any, np.dtype[np.float64]], Over("x")]


def test_an_alias_of_an_array_type_is_stored_like_the_array() -> None:
    assert stored_fields(Aliased) == stored_fields(Plain)
    assert stored_fields(Aliased)[0].sizes(np.zeros(3)) == {"x": 3}
