import json

import pytest
import torch

import landscape
from landscape.data import load_dataset
from landscape.models.checkpoint import build_model, load_checkpoint, save_checkpoint


def test_the_machine_is_checked(run) -> None:
    done = run("doctor")
    assert done.code == 0, done.out
    for check in ("packages", "processor", "devices", "threads", "cache", "image export"):
        assert check in done.out


def test_a_checkpoint_is_checked_and_reproduces_its_loss(run, pair) -> None:
    done = run("doctor", pair.sam, *pair.data, "--subset", "40", "--device", "cpu", "--json")
    found = {one["check"]: one for one in json.loads(done.out)["sam"]["findings"]}
    assert found["data"]["status"] == found["recorded loss"]["status"] == "ok"
    assert set(found) == {
        "data",
        "recorded loss",
        "accuracy",
        "normalization",
        "class order",
        "BatchNorm statistics",
        "minimum",
    }
    broken = any(one["status"] == "broken" for one in found.values())  # after one epoch it may be no better than chance
    assert done.code == int(broken)


def test_damaged_weights_are_broken(run, pair) -> None:
    checkpoint = load_checkpoint(pair.sam)
    checkpoint.state["linear.weight"].copy_(torch.flip(checkpoint.state["linear.weight"], (0,)))
    save_checkpoint(checkpoint, pair.sam)
    done = run("doctor", pair.sam, *pair.data, "--subset", "40", "--device", "cpu")
    assert done.code == 1
    row = next(line for line in done.out.splitlines() if "recorded loss" in line)
    assert "broken" in row


def test_what_cannot_be_read_is_refused(run, pair) -> None:
    run("doctor", "missing.pt").refused("missing.pt")
    run("doctor", *pair.data).refused("--data", "checkpoint")


def test_a_monitored_run_is_read_back(run, pair) -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    optimizer = torch.optim.SGD([{"params": model.parameters(), "rho": 5.6}], lr=0.1)
    objective = landscape.Objective(model, "mse", torch.ones(1, 1), torch.zeros(1, 1), device="cpu")
    with pytest.warns(UserWarning, match="too large"):
        landscape.Monitor(objective, every=1, measures=["sam_doctor"], file="run.h5").step(1, model, optimizer)
    done = run("doctor", "run.h5", "--json")
    assert done.code == 0, done.err
    (finding,) = json.loads(done.out)["run.h5"]["findings"]
    assert finding["status"] == "warning"
    assert "rho is about four times too large" in finding["message"]
    assert "take rho" in finding["remedy"]


def test_the_normalization_of_training_is_tried_when_another_is_given(run, pair) -> None:
    checkpoint = load_checkpoint(pair.adam)
    data = load_dataset(f"npz:{pair.npz}", mean=checkpoint.data["mean"], std=checkpoint.data["std"])
    examples = data.splits["train"]
    with torch.no_grad():
        answers = build_model(checkpoint)(data.preprocess(examples.inputs)).argmax(1)
    options = ["--subset", "all", "--device", "cpu", "--normalize", "0.9/0.01", "--json"]
    done = run("doctor", pair.adam, *pair.data, *options)
    found = {one["check"]: one for one in json.loads(done.out)["adam"]["findings"]}
    assert found["recorded loss"]["status"] == "broken"
    assert done.code == 1
    accuracy = float((answers == examples.labels).double().mean())
    assert found["normalization"]["values"]["training's"] == pytest.approx(accuracy, abs=1e-6)
