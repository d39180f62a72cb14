"""State dicts: extraction from the content of a file, matching of names to a model, and loading into it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import LandscapeError

WRAPPERS = ("state", "state_dict", "model_state_dict", "model", "net", "weights")  # usual keys, the preferred first
PREFIXES = ("module.", "_orig_mod.", "model.")  # of DataParallel, torch.compile, Lightning
COUNTER = "n_averaged"  # of torch.optim.swa_utils.AveragedModel, beside the parameters under "module."


def find_state(content: object, source: object, *, key: str | None = None) -> tuple[dict[str, Tensor], list[str]]:
    """Return the state dict in the content of a weight file, and a sentence for each key on the path to it.

    Args:
        content: a state dict, or a mapping with one under a key such as "state_dict" or "model".
        source: name of the file in messages.
        key: key of the weights; by default a usual one, or the only one with weights. A note names the others.

    Raises:
        LandscapeError: for no weights, none under `key`, or several keys none of which is usual.
    """
    notes: list[str] = []
    while isinstance(content, Mapping) and (key is not None or not _is_state(content)):
        known = [name for name, value in content.items() if isinstance(name, str) and _holds_state(value)]
        if key is not None:
            if key not in known:
                held = f"it holds weights under {', '.join(known)}" if known else "it has no keys to choose from"
                raise LandscapeError(f"{source} holds no weights under {key!r}: {held}; change or omit --weights-key")
            chosen = key
        elif not known:
            break
        else:
            usual = next((name for name in WRAPPERS if name in known), known[0] if len(known) == 1 else None)
            if usual is None:
                raise LandscapeError(
                    f"{source} holds weights under {', '.join(known)}: choose one with --weights-key {known[0]}"
                )
            chosen = usual
        others = [name for name in known if name != chosen]
        unused = f" (not those under {', '.join(map(repr, others))}: --weights-key chooses)" if others else ""
        notes.append(f"took the weights under {chosen!r}{unused}")
        content, key = content[chosen], None
    if not isinstance(content, Mapping) or not _is_state(content):
        held = f"the keys {', '.join(map(str, list(content)[:5]))}" if isinstance(content, Mapping) else _type(content)
        raise LandscapeError(
            f"{source} holds no weights: expected a state dict of named tensors, found {held or 'none'}"
        )
    return dict(content), notes


def strip_prefixes(state: Mapping[str, Tensor], names: Collection[str] | None) -> tuple[dict[str, Tensor], list[str]]:
    """Return a state dict without the prefixes shared by all its names, and a sentence for each removed prefix.

    >>> strip_prefixes({"module.weight": torch.ones(1)}, None)
    ({'weight': tensor([1.])}, ["removed the prefix 'module.' from every name"])

    Args:
        state: tensors by name.
        names: names in the model, if known. Prefixes are removed until some names match: any prefix if that leads to
            a match, else only the usual ones, `PREFIXES`.
    """
    stripped, notes = dict(state), []
    rest = [name for name in state if name != COUNTER]
    if COUNTER in state and COUNTER not in (names or ()) and rest and all(n.startswith("module.") for n in rest):
        del stripped[COUNTER]
        notes.append(f"omitted {COUNTER}, the counter of an AveragedModel")
    known = set(names or ())
    prefixes = _shared_prefixes(list(stripped), known) if known else None
    if prefixes is None:
        prefixes = _usual_prefixes(list(stripped), known)
    for prefix in prefixes:
        stripped = {name.removeprefix(prefix): tensor for name, tensor in stripped.items()}
        notes.append(f"removed the prefix {prefix!r} from every name")
    return stripped, notes


def load_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy weights into `model` in place, all of them or none.

    A tensor tied in the model to one in `state` may be missing, as in safetensors files, which store shared tensors
    once. So may BatchNorm's `num_batches_tracked`, a counter that files from before 2018 lack.

    >>> model = nn.Linear(2, 1)
    >>> load_state(model, {"weight": torch.ones(1, 2), "bias": torch.zeros(1)})
    >>> model(torch.ones(1, 2)).item()
    2.0

    Raises:
        LandscapeError: for missing or unexpected entries, other shapes, or different values of tied tensors; names the
            first three of each.
    """
    expected = model.state_dict()
    complete, conflicts = _untied(model, state)
    missing = [name for name in expected if name not in complete and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in complete if name not in expected]
    reshaped = [
        f"{name} {tuple(complete[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in complete and isinstance(tensor, Tensor) and complete[name].shape != tensor.shape
    ]
    groups = (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
    problems = [f"{_first_of(entries)} {what}" for what, entries in groups if entries]
    if conflicts:
        problems.append(
            f"{_first_of(conflicts)}: one tensor in the model, but tensors with other values in the file; use a model "
            "that does not tie them, or remove one from the file"
        )
    if problems:
        raise LandscapeError(f"the weights do not fit {_type(model)}: {'; '.join(problems)}")
    model.load_state_dict({**{name: expected[name] for name in expected if name not in complete}, **complete})


def tied_names(model: nn.Module) -> list[list[str]]:
    """Return the groups of names in `model.state_dict()` that share one tensor."""
    groups: dict[object, list[str]] = {}
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor) and tensor.numel() and tensor.device.type != "meta":
            memory = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride())
            groups.setdefault(memory, []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def check_finite(state: Mapping[str, Tensor], source: object) -> None:
    """Raise a LandscapeError that names the tensors of `state` with NaN or inf, if there are any."""
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        raise LandscapeError(f"{source}: NaN or inf in {_first_of(bad)}; these weights cannot be analysed")


def _first_of(entries: list[str]) -> str:
    """Return the first three entries and the number of the others, such as "a, b, c and 1 more"."""
    more = f" and {len(entries) - 3} more" if len(entries) > 3 else ""
    return ", ".join(entries[:3]) + more


def _untied(model: nn.Module, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return `state` with all names of tied tensors, and the pairs of tied names with different values."""
    complete = dict(state)
    conflicts: list[str] = []
    for group in tied_names(model):
        present = [name for name in group if name in state]
        others = (name for name in present[1:] if not _equal(state[present[0]], state[name]))
        conflicts.extend(f"{present[0]} and {name}" for name in others)
        for name in group if present else ():
            complete.setdefault(name, state[present[0]])
    return complete, conflicts


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b.to(a.dtype))


def _shared_prefixes(keys: list[str], names: set[str]) -> list[str] | None:
    """Return the leading components to remove from all keys so that some are among `names`; None if impossible."""
    prefixes: list[str] = []
    while not names & set(keys):
        prefix = keys[0].partition(".")[0] + "." if keys else ""
        if not keys or not all(key.startswith(prefix) for key in keys):
            return None
        keys = [key.removeprefix(prefix) for key in keys]
        prefixes.append(prefix)
    return prefixes


def _usual_prefixes(keys: list[str], names: set[str]) -> list[str]:
    prefixes: list[str] = []
    while not names & set(keys):
        prefix = next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in keys)), None)
        if prefix is None or not keys:
            break
        keys = [key.removeprefix(prefix) for key in keys]
        prefixes.append(prefix)
    return prefixes


def _is_state(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def _holds_state(value: object) -> bool:
    """Return True if a value is a state dict of floating-point tensors, or holds one under a usual key."""
    if not isinstance(value, Mapping):
        return False
    if _is_state(value):
        return any(tensor.is_floating_point() or tensor.is_complex() for tensor in value.values())
    return any(_holds_state(value.get(name)) for name in WRAPPERS)


def _type(value: object) -> str:
    return type(value).__name__
