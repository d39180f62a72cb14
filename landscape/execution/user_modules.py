"""The user's own modules, pickled by value for the nodes of a cluster, where they are not installed."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

INSTALLED = ("landscape", "torch", "ray", "__main__")  # the last is pickled by value anyway


@contextmanager
def user_modules_by_value(cloudpickle: Any) -> Iterator[None]:
    """Let cloudpickle (a module) pickle functions and classes by value if their modules are not installed."""
    known = cloudpickle.list_registry_pickle_by_value()
    own = [module for name, module in list(sys.modules.items()) if name not in known and is_user_module(name, module)]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def is_user_module(name: str, module: ModuleType) -> bool:
    """Return True for a module of the user's: a file outside the installed packages and the standard library."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or name.partition(".")[0] in INSTALLED or getattr(module, "__name__", None) != name:
        return False
    return not _is_installed(str(Path(file).parent))


@cache
def _is_installed(folder: str) -> bool:
    places = {Path(place).resolve() for place in sysconfig.get_paths().values()}
    path = Path(folder).resolve()
    return any(each in places or each.name in ("site-packages", "dist-packages") for each in (path, *path.parents))
