"""The monitor of a training run of ours: the same weights as without it, probes at epochs, resumed after a kill."""

import numpy as np
import pytest
import torch

from landscape.data import Dataset, Split
from landscape.errors import LandscapeError
from landscape.storage.loading import load
from landscape.training import TrainConfig
from landscape.workflow.monitoring import MonitorOptions
from landscape.workflow.training import TrainingOptions, train_or_resume


@pytest.fixture(scope="module")
def dataset():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 255, (48, 1, 8, 8), generator=generator, dtype=torch.uint8)
    labels = (inputs.float().mean(dim=(1, 2, 3)) > 127).long()
    return Dataset("example", {"train": Split(inputs, labels)}, ("dark", "bright"))


CONFIG = TrainConfig(recipe="sam", epochs=2, batch_size=16, device="cpu", precision="float32")


def trained(dataset, folder, monitor=None, **options):
    options = TrainingOptions(monitor=monitor, **options)
    return train_or_resume(CONFIG, dataset, {"sam": folder / "sam.pt"}, options=options)["sam"]


def test_a_monitored_run_has_the_weights_of_one_without_and_a_probe_per_epoch(dataset, tmp_path):
    (tmp_path / "plain").mkdir()
    plain = trained(dataset, tmp_path / "plain")
    monitor = MonitorOptions(("gradient_norm", "sam"), examples=20, folder=tmp_path)
    monitored = trained(dataset, tmp_path, monitor)
    assert all(torch.equal(value, monitored.state[name]) for name, value in plain.state.items())
    result = load(tmp_path / "sam.h5")["sam/monitor"]
    assert result.position.tolist() == [3, 6]
    assert result.attributes["examples"] == {"train": 20}
    assert result.attributes["step_rule"]["formula"] == "38/η"
    assert np.isfinite(result.series("sam_sharpness")).all()


def test_a_run_that_is_killed_goes_on_in_the_same_result(dataset, tmp_path, monkeypatch):
    monitor = MonitorOptions(("gradient_norm",), epochs=1 / 3, examples=20, folder=tmp_path)
    (tmp_path / "whole").mkdir()
    whole = MonitorOptions(("gradient_norm",), epochs=1 / 3, examples=20, folder=tmp_path / "whole")
    trained(dataset, tmp_path / "whole", whole)
    expected = load(tmp_path / "whole" / "sam.h5")["sam/monitor"]
    step, count = torch.optim.Adam.step, 0

    def killed(*arguments, **options):
        nonlocal count
        count += 1
        if count == 5:
            raise KeyboardInterrupt
        return step(*arguments, **options)

    monkeypatch.setattr(torch.optim.Adam, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(dataset, tmp_path, monitor)
    monkeypatch.undo()
    assert load(tmp_path / "sam.h5")["sam/monitor"].position.tolist() == [1, 2, 3, 4]
    trained(dataset, tmp_path, monitor)
    result = load(tmp_path / "sam.h5")["sam/monitor"]
    np.testing.assert_array_equal(result.position, expected.position)
    np.testing.assert_array_equal(result.series("gradient_norm"), expected.series("gradient_norm"))


def test_impossible_options_are_refused():
    with pytest.raises(LandscapeError, match="a measure among lambda_max"):
        MonitorOptions(("lambda",))
    with pytest.raises(LandscapeError, match="positive number of epochs between probes, got 0"):
        MonitorOptions(("sam",), epochs=0)
