import torch
from torch import nn

from landscape.workflow.doctor.batchnorm import batchnorm_statistics

LABELS = torch.arange(120) % 3
INPUTS = 5 + 3 * nn.functional.one_hot(LABELS).float()  # means far from 0, in which the untouched layer fails


def network() -> nn.Sequential:
    """Return a network that is right if its BatchNorm layer normalizes the inputs, and answers class 0 otherwise."""
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3))
    nn.init.eye_(model[1].weight)
    model[1].bias.data = torch.zeros(3)
    return model


def with_statistics(mean: torch.Tensor, var: torch.Tensor) -> nn.Sequential:
    model = network()
    model[0].running_mean, model[0].running_var = mean, var
    return model


def test_statistics_of_the_data_are_right(load) -> None:
    finding = batchnorm_statistics(load(with_statistics(INPUTS.mean(0), INPUTS.var(0)), INPUTS, LABELS))
    assert finding.status == "ok", finding
    assert finding.values["accuracy"] == finding.values["accuracy_recalibrated"] == 1.0


def test_statistics_of_other_data_are_not(load) -> None:
    wrong = torch.tensor([-100.0, 0.0, 0.0])  # the first class then wins everywhere
    finding = batchnorm_statistics(load(with_statistics(wrong, INPUTS.var(0)), INPUTS, LABELS))
    assert finding.status == "warning"
    assert "accuracy 33.33%, and 100.00% with statistics re-estimated" in finding.message
    assert "update_bn" in finding.remedy


def test_statistics_that_were_never_updated_are_named(load) -> None:
    finding = batchnorm_statistics(load(network(), INPUTS, LABELS))
    assert finding.status == "warning"
    assert finding.message.startswith("1 of 1 layers hold means of 0 and variances of 1")


def test_a_model_without_batchnorm_is_skipped(load) -> None:
    assert batchnorm_statistics(load(nn.Linear(3, 3), INPUTS, LABELS)).status == "skipped"
