"""Tables of findings, and their JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from landscape.cli.terminal import console
from landscape.workflow.doctor.finding import Finding, worst


def print_findings(findings: Mapping[str, Sequence[Finding]]) -> None:
    """Print a table of each group: the checks, their findings, and what to do."""
    for name, group in findings.items():
        rows = [[one.check, one.status, one.message, one.remedy] for one in group]
        console.print_table(name, ["check", "", "finding", "what to do"], rows, justify="left")


def summary(findings: Mapping[str, Sequence[Finding]]) -> dict[str, Any]:
    """Return the findings by group, and the worst status of each group, JSON-able."""
    return {
        name: {
            "status": worst(group),
            "findings": [
                {
                    "check": one.check,
                    "status": one.status,
                    "message": one.message,
                    "remedy": one.remedy,
                    "values": dict(one.values),
                }
                for one in group
            ],
        }
        for name, group in findings.items()
    }
