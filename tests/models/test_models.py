"""What all families share: the registry, and what training and analysis ask of a model."""

import copy

import pytest
import torch
import torch.nn.functional as F

from landscape.analysis.objective.model.folding import NotFoldableError, find_folding
from landscape.errors import LandscapeError
from landscape.models import MODELS, build

TINY = {
    "resnet": ("resnet", {"depth": 8}),
    "noshort": ("resnet", {"depth": 8, "shortcuts": False}),
    "group norm": ("resnet", {"depth": 8, "norm": "group"}),
    "coursework": ("coursework", {}),
    "wrn": ("wrn", {"depth": 10, "k": 2, "dropout": 0.3}),
    "shakeshake": ("shakeshake", {"depth": 8, "width": 8}),
    "pyramidnet": ("pyramidnet", {"depth": 8, "alpha": 10}),
    "shakedrop": ("pyramidnet", {"depth": 11, "alpha": 10, "bottleneck": True, "shakedrop": True}),
}
NOISY = ("wrn", "shakeshake", "shakedrop")


def tiny(name, **arguments):
    family, own = TINY[name]
    torch.manual_seed(0)
    return build(family, **own, **arguments)


def images(count=6, channels=3, side=12, seed=1):
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


def gradients(model, inputs):
    model.zero_grad()
    F.cross_entropy(model(inputs).float(), torch.arange(len(inputs)) % 10).backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("name", TINY)
def test_every_parameter_learns_on_small_images_of_any_size(name):
    model = tiny(name, num_classes=4, in_channels=2).train()
    for side in (8, 13):
        logits = model(images(channels=2, side=side))
        assert logits.shape == (6, 4)
        model.zero_grad()
        logits.square().sum().backward()
        for parameter in model.parameters():
            assert parameter.grad.isfinite().all()
            assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize("name", TINY)
def test_evaluation_is_deterministic_and_training_noise_is_torchs(name):
    model = tiny(name)
    inputs = images()
    model.eval()
    state = torch.get_rng_state()
    assert torch.equal(model(inputs), model(inputs))
    assert torch.equal(torch.get_rng_state(), state)
    model.train()
    torch.manual_seed(5)
    first = gradients(model, inputs)
    drew = not torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(5).get_state())
    torch.manual_seed(5)
    again = gradients(model, inputs)
    assert all(torch.equal(again[parameter], grad) for parameter, grad in first.items())
    assert drew == (name in NOISY)
    other = gradients(model, inputs)  # the generator went on
    assert (not all(torch.equal(other[parameter], grad) for parameter, grad in first.items())) == (name in NOISY)


@pytest.mark.parametrize("name", NOISY)
def test_a_backward_pass_draws_nothing(name):
    # So that SAM, which puts the generator back before its second forward pass, has the same noise in both gradients.
    model = tiny(name).train()
    loss = model(images()).square().sum()
    state = torch.get_rng_state()
    loss.backward()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", TINY)
def test_channels_last_and_bf16_autocast_compute_the_same(name):
    model, inputs = tiny(name).eval(), images()
    expected = model(inputs)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    rows = inputs.to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(rows), expected, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = last(rows)
        last.train()
        found = gradients(last, rows)
    assert half.dtype == torch.bfloat16
    assert (half.float() - expected).abs().max() < 0.1 * expected.abs().max()
    assert all(grad.dtype == torch.float32 and grad.isfinite().all() for grad in found.values())


@pytest.mark.parametrize("name", TINY)
def test_symbolic_trace_and_folding_compute_the_same_in_evaluation_mode(name):
    model, inputs = tiny(name).double(), images().double()
    model.train()
    for seed in range(3):  # running statistics that are not the identity
        model(images(seed=seed).double())
    model.eval()
    assert torch.equal(torch.fx.symbolic_trace(model)(inputs), model(inputs))
    if name == "group norm":
        with pytest.raises(NotFoldableError, match="no BatchNorm"):
            find_folding(model)
        return
    folding = find_folding(model)
    folded = folding.fold(dict([*model.named_parameters(), *model.named_buffers()]))
    torch.testing.assert_close(torch.func.functional_call(folding.network, folded, (inputs,)), model(inputs))


@pytest.mark.parametrize("name", TINY)
def test_initial_weights_are_seeded_and_copies_are_independent(name):
    model, again = tiny(name), tiny(name)
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in model.state_dict().items())
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.add_(1)
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in model.state_dict().items())


# Of the networks in the papers; by an independent library too (pytorchcv's tests list the same numbers).
COUNTS = {
    "resnet20": 269_722,
    "wrn28-10": 36_479_194,
    "shakeshake26-2x32d": 2_923_162,
    "pyramidnet110": 28_485_477,
    "pyramidnet272": 26_210_842,
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_another_librarys(name):
    with torch.device("meta"):
        assert sum(p.numel() for p in build(name).parameters()) == COUNTS[name]


def test_every_name_builds_for_other_data():
    assert {family for family, _ in TINY.values()} <= set(MODELS)
    with torch.device("meta"):
        for name in MODELS.keys() - {"resnet", "wrn", "shakeshake", "pyramidnet"}:
            model = build(name, num_classes=100, in_channels=1)
            assert model.conv1.weight.shape[1] == 1
            assert model.linear.out_features == 100


def test_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(LandscapeError, match="unknown model 'resnet21'") as caught:
        build("resnet21")
    assert all(name in str(caught.value) for name in MODELS)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("resnet20", {"depth": 32}, "takes num_classes, in_channels, shortcut: "),
        ("resnet20", {"num_classes": 0}, "num_classes must be a positive integer, got 0"),
        ("resnet20", {"in_channels": "3"}, "in_channels must be a positive integer, got '3'"),
        ("coursework", {"num_classes": True}, "num_classes must be a positive integer, got True"),
        ("wrn", {"depth": 28}, "takes depth, k, num_classes, in_channels, dropout: missing a required argument: 'k'"),
        ("wrn", {"depth": 27, "k": 1}, "depth must be 6n + 4, such as 10, 16, 22, got 27"),
        ("wrn28-10", {"dropout": 1.0}, "dropout must be a probability"),
        ("shakeshake", {"depth": 26, "width": 33}, "width must be even"),
        ("pyramidnet", {"depth": 32, "alpha": 10, "bottleneck": True}, "depth must be 9n + 2"),
        ("pyramidnet", {"depth": 110, "alpha": float("nan")}, "alpha must be a finite number"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(name, arguments, message):
    with pytest.raises(LandscapeError) as caught:
        build(name, **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
