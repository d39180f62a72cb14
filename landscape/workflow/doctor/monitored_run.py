"""Check of a monitored training run: what did the monitor's measures find wrong?"""

from __future__ import annotations

from pathlib import Path

from landscape.errors import LandscapeError
from landscape.results import DynamicsResult
from landscape.storage.loading import load
from landscape.workflow.doctor.finding import Finding


def examine_runs(path: Path) -> list[Finding]:
    """Return a finding for each run in an analysis file: the sentences of its monitor, the latest last.

    Raises:
        LandscapeError: for a file that cannot be read, or holds no monitored run.
    """
    runs = {key: result for key, result in load(path).items() if isinstance(result, DynamicsResult)}
    if not runs:
        raise LandscapeError(f"{path} holds no monitored run; expected one that landscape.Monitor stored")
    return [finding for key, run in runs.items() for finding in _of_run(key, run)]


def _of_run(key: str, run: DynamicsResult) -> list[Finding]:
    sentences = [str(sentence) for sentence in run.attributes.get("warnings", ())]
    if not sentences:
        probes = len(run.position)
        return [Finding(key, "ok", f"nothing wrong at {probes} probes of {', '.join(_measures(run)) or 'the run'}")]
    findings = []
    for sentence in sentences:
        message, _, remedy = sentence.partition("; ")
        findings.append(Finding(key, "warning", message, remedy))
    return findings


def _measures(run: DynamicsResult) -> list[str]:
    settings = run.attributes.get("settings")
    measures = settings.get("measures", ()) if isinstance(settings, dict) else ()
    return [str(measure["name"]) for measure in measures]
