import json

import torch

from landscape.models.checkpoint import file_sha256, load_checkpoint


def test_a_checkpoint(run, pair) -> None:
    outcome = run("info", pair.sam)
    assert outcome.code == 0
    for fact in ("resnet20", "training.recipe", "sam", file_sha256(pair.sam), "data.fingerprints.train"):
        assert fact in outcome.out
    found = json.loads(run("info", pair.sam, "--json").out)
    checkpoint = load_checkpoint(pair.sam)
    assert found["final"] == checkpoint.final
    assert found["history"]["epoch"] == [1]


def test_weights_of_another_program(run) -> None:
    torch.save({"state_dict": {"module.fc.weight": torch.zeros(2, 3)}}, "w.pt")
    outcome = run("info", "w.pt")
    assert "weights of another program" in outcome.out
    assert "w.pt: took the weights under 'state_dict'" in outcome.err
    assert json.loads(run("info", "w.pt", "--json").out)["shapes"] == {"fc.weight": [2, 3]}


def test_an_analysis_file_and_several_files(run, pair) -> None:
    run("surface", pair.sam, *pair.data, "--points", "5x3")
    run("hessian", pair.sam, *pair.data, "--top", "1", "--params", "linear.*", "--max-products", "2")
    outcome = run("info", "results/sam.h5")
    assert "sam.h5: 3 results" in outcome.out
    for holds in ("5x3 points", "1 eigenpair", "1 epoch", "64 train"):
        assert holds in outcome.out
    found = json.loads(run("info", "results/sam.h5", pair.adam, "--json").out)
    assert found["results/sam.h5"]["sam/plane"]["attributes"]["checkpoint"] == "sam"
    assert found[str(pair.adam)]["model"] == "resnet20"
