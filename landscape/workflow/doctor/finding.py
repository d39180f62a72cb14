"""One finding of a check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Status: TypeAlias = Literal["ok", "skipped", "warning", "broken"]
_SEVERITY: tuple[Status, ...] = ("skipped", "ok", "warning", "broken")


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Args:
        check: its name.
        status: "broken" if results would be wrong, "warning" if they may mislead, "skipped" if it does not apply.
        message: one line, with numbers.
        remedy: what to do; empty if nothing.
        values: the numbers, JSON-able.
    """

    check: str
    status: Status
    message: str
    remedy: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


def worst(findings: Iterable[Finding]) -> Status:
    """Return the most severe status; "ok" if there are no findings.

    >>> worst([Finding("threads", "ok", "2 of 2 cores"), Finding("cache", "warning", "cannot be written")])
    'warning'
    """
    return max((finding.status for finding in findings), key=_SEVERITY.index, default="ok")
