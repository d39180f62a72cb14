"""Recipes are an open registry: one entry from outside the package trains, with any optimizer of torch or a user's."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape import models
from landscape.data import Dataset, Split
from landscape.errors import LandscapeError
from landscape.training import RECIPES, Recipe, ResolvedConfig, TrainConfig, resolve, train
from landscape.training.optimizers import make_optimizer
from landscape.training.pipeline.shuffling import batch_slices, epoch_order
from landscape.training.sam import FriendlySAM
from landscape.training.settings import initial_model

FIRST_ORDER = [
    *("Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax"),
    *("ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD"),
]


def configuration(**settings):
    common = {"model": "mlp", "epochs": 3, "batch_size": 16, "precision": "float32", "device": "cpu"}
    return TrainConfig(recipe="mine", **{**common, **settings})


class SignDescent(torch.optim.Optimizer):
    """An optimizer of a user's own, whose only setting is the learning rate."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad.sign()


@pytest.fixture
def data(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 6, generator=generator)
    labels = (inputs @ torch.randn(6, 3, generator=generator)).argmax(1)
    monkeypatch.setitem(models.MODELS, "mlp", lambda num_classes, in_channels: nn.Linear(in_channels, num_classes))
    return Dataset("npz", {"train": Split(inputs, labels)}, ("a", "b", "c"))


def plain_loop(optimizer_of, data, config):
    """Return the weights of a training loop written out, over the same batches."""
    model = initial_model(config)
    optimizer = optimizer_of(model.parameters())
    split = data.splits["train"]
    for epoch in range(1, config.epochs + 1):
        order = epoch_order(len(split), seed=config.seed, epoch=epoch, device=torch.device("cpu"))
        for batch in batch_slices(len(split), config.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(split.inputs[order[batch]]), split.labels[order[batch]]).backward()
            optimizer.step()
    return model.state_dict()


@pytest.mark.parametrize(
    ("recipe", "optimizer_of"),
    [
        (
            Recipe("RMSprop", {"lr": 3e-3, "weight_decay": 0.01}, {"alpha": 0.9}),
            lambda params: torch.optim.RMSprop(params, lr=3e-3, alpha=0.9, weight_decay=0.01),
        ),
        (Recipe(SignDescent, {"lr": 3e-3}), lambda params: SignDescent(params, lr=3e-3)),
        (Recipe("SGD", {"lr": 0.1}), lambda params: torch.optim.SGD(params, lr=0.1)),
    ],
)
def test_a_recipe_from_outside_trains_as_its_optimizer_in_a_plain_loop(data, monkeypatch, recipe, optimizer_of):
    monkeypatch.setitem(RECIPES, "mine", recipe)
    checkpoint = train(configuration(schedule="constant", warmup=0.0), data)
    expected = plain_loop(optimizer_of, data, resolve(configuration(), data))
    assert checkpoint.state.keys() == expected.keys()
    for name, weights in expected.items():
        torch.testing.assert_close(checkpoint.state[name], weights, rtol=1e-5, atol=1e-6)
    assert checkpoint.training["recipe"] == "mine"
    assert checkpoint.training["optimizer"] == recipe.optimizer_name
    assert checkpoint.training["lr"] == recipe.defaults["lr"]


@pytest.mark.parametrize("method", ["plain", "sam", "rwp"])
@pytest.mark.parametrize("name", FIRST_ORDER)
def test_every_first_order_optimizer_of_torch_makes_a_recipe(data, monkeypatch, name, method):
    monkeypatch.setitem(RECIPES, "mine", Recipe(name, method=method))
    assert train(configuration(epochs=1), data).training["optimizer"] == name


@pytest.mark.parametrize(("name", "fused"), [("Adam", True), ("AdamW", True), ("SGD", True), ("RMSprop", None)])
def test_fused_steps_are_requested_of_the_optimizers_that_have_them(data, monkeypatch, name, fused):
    monkeypatch.setitem(RECIPES, "mine", Recipe(name))
    assert make_optimizer(resolve(configuration(), data), nn.Linear(2, 2)).defaults.get("fused") is fused


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe("AdamX"), "needs an optimizer of torch.optim that steps from one gradient, not 'AdamX'"),
        (Recipe("LBFGS"), "needs an optimizer of torch.optim that steps from one gradient, not 'LBFGS'"),
        (Recipe("Rprop", {"weight_decay": 0.1}), "Rprop has no weight decay, got weight_decay 0.1; set it to 0"),
        (Recipe("SGD", settings={"momentun": 0.9}), "SGD refuses the settings of recipe mine: .*momentun"),
        (Recipe("SGD", settings={"momentum": -1}), "SGD refuses the settings of recipe mine: Invalid momentum"),
    ],
)
def test_a_recipe_that_cannot_train_is_refused_in_one_line(data, monkeypatch, recipe, message):
    monkeypatch.setitem(RECIPES, "mine", recipe)
    with pytest.raises(LandscapeError, match=message) as raised:
        train(configuration(), data)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["label_smoothing", "batch_size", "base_lr", "learning_rate"])
def test_a_default_that_would_have_no_effect_is_refused(name):
    with pytest.raises(LandscapeError, match=f"a recipe has no default of '{name}'; expected some of lr, "):
        Recipe("Adam", {name: 0.1})


def test_a_recipe_gives_the_settings_that_are_none_and_no_others(data, monkeypatch):
    monkeypatch.setitem(RECIPES, "mine", Recipe("Adam", {"lr": 0.5, "rho": 0.2, "max_norm": 3.0}))
    config = resolve(configuration(rho=0.1), data)
    assert isinstance(config, ResolvedConfig)
    assert (config.lr, config.rho, config.max_norm, config.p, config.micro_batch) == (0.5, 0.1, 3.0, 2.0, None)


def test_nothing_that_a_resolved_configuration_always_has_is_none_in_it():
    """`ResolvedConfig` narrows exactly the settings that recipes give."""
    optional = {"base_lr", "micro_batch", "max_norm", "start"}
    unset = {entry.name for entry in dataclasses.fields(TrainConfig) if entry.default is None}
    assert {entry.name for entry in dataclasses.fields(ResolvedConfig) if entry.default is None} == optional
    resolved = (entry for entry in ResolvedConfig.__mro__ if entry.__name__.startswith("Resolved"))
    assert {name for entry in resolved for name in entry.__annotations__} == unset - optional


def sharpness_aware_loop(data, config, radius, step):
    """Return the weights of a loop of SAM, of radius(t) at step t; the base takes step(t, p, g, state)."""
    model = initial_model(config)
    parameters, states = list(model.parameters()), [{} for _ in model.parameters()]
    split, t = data.splits["train"], 0
    for epoch in range(1, config.epochs + 1):
        order = epoch_order(len(split), seed=config.seed, epoch=epoch, device=torch.device("cpu"))
        for batch in batch_slices(len(split), config.batch_size):

            def gradient(batch=order[batch]):
                return torch.autograd.grad(F.cross_entropy(model(split.inputs[batch]), split.labels[batch]), parameters)

            g = gradient()
            before, rho = [p.detach().clone() for p in parameters], radius(t)
            length = torch.sqrt(sum(x.square().sum() for x in g))
            with torch.no_grad():
                for p, x in zip(parameters, g, strict=True):
                    p += rho * x / length
            g = gradient()
            with torch.no_grad():
                for p, w, x, state in zip(parameters, before, g, states, strict=True):
                    p.copy_(step(t, w, x, state))
            t += 1
    return model.state_dict()


def adamw_step(t, w, g, state, *, lr=3e-3, decay=0.01, betas=(0.9, 0.999), eps=1e-8):
    """Algorithm 2 of Loshchilov & Hutter: the decay is apart from the moments, both scaled by the learning rate."""
    m = state["m"] = betas[0] * state.get("m", 0) + (1 - betas[0]) * g
    v = state["v"] = betas[1] * state.get("v", 0) + (1 - betas[1]) * g * g
    corrected = m / (1 - betas[0] ** (t + 1)), v / (1 - betas[1] ** (t + 1))
    return w - lr * (corrected[0] / (corrected[1].sqrt() + eps) + decay * w)


@pytest.mark.parametrize(("recipe", "rho"), [("adamw", 0.0), ("sam-adamw", 0.05)])
def test_adamw_is_its_papers_algorithm(data, recipe, rho):
    config = dataclasses.replace(configuration_of(recipe), lr=3e-3)
    checkpoint = train(config, data)
    expected = sharpness_aware_loop(data, resolve(config, data), lambda t: rho, adamw_step)
    for name, weights in expected.items():
        torch.testing.assert_close(checkpoint.state[name], weights, rtol=1e-4, atol=2e-6)
    assert checkpoint.training["weight_decay"] == 0.01
    assert checkpoint.training["optimizer"] == "AdamW"


def configuration_of(recipe, **settings):
    return dataclasses.replace(
        TrainConfig(recipe=recipe, model="mlp", epochs=3, batch_size=16, precision="float32", device="cpu"),
        **{"schedule": "constant", "warmup": 0.0, **settings},
    )


@pytest.mark.parametrize("rho_schedule", ["constant", "lr", "linear"])
def test_the_radius_follows_its_schedule(data, rho_schedule):
    config = configuration_of(
        "sam-sgd",
        schedule="cosine",
        warmup=0.3,
        rho=0.3,
        rho_min=0.1,
        rho_schedule=rho_schedule,
        lr=0.2,
        weight_decay=0.0,
    )
    config = resolve(config, data)
    steps, rising = 9, 3  # 40 examples in batches of 16, 16 and 8; 0.3 of 9 steps

    def lr(t):
        return 0.2 * (t + 1) / rising if t < rising else 0.1 * (1 + math.cos(math.pi * (t - rising) / (steps - rising)))

    def radius(t):
        shares = {"constant": 1.0, "lr": lr(t) / 0.2, "linear": t / (steps - 1)}
        return 0.1 + (0.3 - 0.1) * shares[rho_schedule]

    def nesterov(t, w, g, state):
        state["v"] = 0.9 * state["v"] + g if "v" in state else g
        return w - lr(t) * (g + 0.9 * state["v"])

    expected = sharpness_aware_loop(data, config, radius, nesterov)
    checkpoint = train(config, data)
    for name, weights in expected.items():
        torch.testing.assert_close(checkpoint.state[name], weights, rtol=1e-4, atol=2e-6)
    recorded = {name: checkpoint.training[name] for name in ("rho_schedule", "rho", "rho_min")}
    assert recorded == {"rho_schedule": rho_schedule, "rho": 0.3, "rho_min": 0.1}


def test_friendly_sam_is_a_recipe(data):
    config = resolve(configuration_of("fsam"), data)
    optimizer = make_optimizer(config, nn.Linear(2, 2))
    assert isinstance(optimizer, FriendlySAM)
    assert (optimizer.sigma, optimizer.decay) == (1.0, 0.9)
    assert train(config, data).training["friendly"] == 1.0
    assert not isinstance(make_optimizer(resolve(configuration_of("sam"), data), nn.Linear(2, 2)), FriendlySAM)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rho": 0.05, "rho_min": 0.1}, "rho_min 0.1 is more than rho 0.05"),
        ({"rho_schedule": "cosine"}, "unknown rho_schedule 'cosine'; known: constant, lr, linear"),
        ({"friendly": 1.5}, "friendly must be a fraction"),
    ],
)
def test_impossible_radii_are_refused(settings, message):
    with pytest.raises(LandscapeError, match=message):
        TrainConfig(recipe="fsam", **settings)
