"""Averages along a run: those of torch's own class, bit for bit."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from landscape.training import TrainConfig
from landscape.training.averaging import averaged_model, update_average


@pytest.mark.parametrize("recipe", ["ema", "swa"])
def test_updates_are_torch_s_own(recipe: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    config = TrainConfig(recipe=recipe, ema_decay=0.7)
    fast, slow = averaged_model(config, model), averaged_model(config, model)
    assert isinstance(fast, AveragedModel)
    assert isinstance(slow, AveragedModel)
    for _ in range(4):
        with torch.no_grad():
            for p in model.parameters():
                p += torch.randn_like(p)
        model(torch.randn(5, 3))  # moves the running statistics
        update_average(fast, model)
        slow.update_parameters(model)
    for name, value in slow.state_dict().items():
        assert torch.equal(fast.state_dict()[name], value), name


def test_a_moving_average_does_not_copy_its_counter_to_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Linear(2, 2)
    average = averaged_model(TrainConfig(recipe="ema"), model)
    assert average is not None
    update_average(average, model)
    monkeypatch.setattr(AveragedModel, "update_parameters", lambda self, model: pytest.fail("waits for the device"))
    update_average(average, model)
    assert average.n_averaged == 2
