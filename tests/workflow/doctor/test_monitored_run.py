"""Reading back what a monitor found wrong with a run."""

import functools

import pytest
import torch
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.errors import LandscapeError
from landscape.monitoring.measures.gradient_norm import GradientNorm
from landscape.monitoring.monitor import Monitor, MonitorWarning
from landscape.storage.result_file import ResultFile
from landscape.training.sam import SAM
from landscape.workflow.doctor.monitored_run import examine_runs


def monitored(path, rho, name):
    """Store two probes of SAM on a quadratic, whose rise is 1 + ρ / 2|w| of its first-order value for |w| = 1."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = SAM(model.parameters(), functools.partial(torch.optim.SGD, lr=0.1), rho=rho)
    objective = Objective(model, "mse", torch.ones(1, 1), torch.zeros(1, 1), device="cpu")
    monitor = Monitor(objective, every=1, measures=["sam_doctor", GradientNorm()], file=path, name=name)
    for step in (1, 2):
        monitor.step(step, model, optimizer)


def test_sentences_of_a_run_are_findings_with_what_to_do(tmp_path):
    path = tmp_path / "run.h5"
    monitored(path, 0.1, "good/dynamics")
    with pytest.warns(MonitorWarning):
        monitored(path, 5.6, "bad/dynamics")
    bad, good = sorted(examine_runs(path), key=lambda finding: finding.check)
    assert (good.check, good.status) == ("good/dynamics", "ok")
    assert good.message == "nothing wrong at 2 probes of sam_doctor, gradient_norm"
    assert (bad.check, bad.status) == ("bad/dynamics", "warning")
    assert bad.message.startswith("step 1: rho is about four times too large: the rise of the loss is 3.8 of its")


def test_a_file_without_a_run_is_refused(tmp_path):
    with ResultFile(tmp_path / "empty.h5"):
        pass
    with pytest.raises(LandscapeError, match=r"empty\.h5"):
        examine_runs(tmp_path / "empty.h5")
