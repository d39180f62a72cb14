"""Importing what users name on the command line: `package.module:name` or `file.py:name`."""

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
    """Return the object that `spec` names: `package.module:name` or `path/to/file.py:name` (dots in name are followed).

    The current folder (for a file: its own folder too) is put on `sys.path` and stays there, so that the module's own
    late imports work. This runs the user's code, so `spec` must come from the user, never from a checkpoint.

    Raises:
        LandscapeError: Malformed spec, no such module or file, an exception while importing it, no such name.
    """
    source, _, name = spec.rpartition(":")
    if not source or not name or not all(part.isidentifier() for part in name.split(".")):
        raise LandscapeError(f"expected package.module:name or file.py:name, got {spec!r}")
    _on_path(Path.cwd())
    module = _import_file(Path(source)) if source.endswith(".py") else _import_module(source)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, dir(found), n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise LandscapeError(f"{source} has no {name!r}{hint}")
        found = getattr(found, part)
    return found


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
    # One module per file, however often it is named; the digest keeps two files of one name apart.
    name = f"landscape_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    _on_path(path.parent)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LandscapeError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before running it: dataclasses look their module up
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
