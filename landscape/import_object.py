"""Import of users' objects by specification: `package.module:name` or `file.py:name`."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from landscape.errors import LandscapeError


def import_object(spec: str) -> Any:
    """Return the object of a specification: `package.module:name` or `path/to/file.py:name`, where name may have dots.

    The current folder, and that of a file, stay on `sys.path`, so that later imports of the module work. The import
    runs the user's code, so `spec` must come from the user, never from a checkpoint.

    >>> import_object("math:pi")
    3.141592653589793

    Raises:
        LandscapeError: for a malformed specification, a missing module, file or name, or a failed import.
    """
    source, _, name = spec.rpartition(":")
    if not source or not name or not all(part.isidentifier() for part in name.split(".")):
        raise LandscapeError(f"expected package.module:name or file.py:name, got {spec!r}")
    _on_path(Path.cwd())
    module = _import_file(Path(source)) if source.endswith(".py") else _import_module(source)
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            near = difflib.get_close_matches(part, dir(value), n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise LandscapeError(f"{source} has no {name!r}{hint}")
        value = getattr(value, part)
    return value


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise LandscapeError(
                f"no module {name!r} in the current folder or the installed packages; for a file write file.py:name"
            ) from error
        raise LandscapeError(f"importing {name} failed: {_one_line(error)}") from error
    except (Exception, SystemExit) as error:
        raise LandscapeError(f"importing {name} failed: {_one_line(error)}") from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise LandscapeError(f"no such Python file: {path}")
    path = path.resolve()
    # One module per file, however often it is imported; the digest distinguishes files of the same name.
    name = f"landscape_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    _on_path(path.parent)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LandscapeError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before its execution: dataclasses look up their module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise LandscapeError(f"importing {path} failed: {_one_line(error)}") from error
    return module


def _on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
