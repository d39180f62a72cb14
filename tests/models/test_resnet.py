import pytest
import torch
import torch.nn.functional as F
from torch import nn

from landscape.errors import LandscapeError
from landscape.models import ResNet, build


@pytest.mark.parametrize(
    ("depth", "parameters"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)]
)
@pytest.mark.parametrize("variant", ["", "-noshort"])
def test_parameter_counts_are_he_et_al(depth, parameters, variant):
    # 0.27M, 0.46M, 0.66M, 0.85M, 1.7M in table 6 of arXiv:1512.03385; computed here from its description.
    n = (depth - 2) // 6
    convs = 9 * (3 * 16 + 2 * n * 16**2 + 16 * 32 + (2 * n - 1) * 32**2 + 32 * 64 + (2 * n - 1) * 64**2)
    norms = 2 * (16 + 2 * n * (16 + 32 + 64))
    with torch.device("meta"):
        model = build(f"resnet{depth}{variant}")
    assert sum(p.numel() for p in model.parameters()) == convs + norms + 64 * 10 + 10 == parameters
    weighted = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(weighted) == depth


@pytest.mark.parametrize(
    "options",
    [{}, {"shortcuts": False}, {"norm": "group"}, {"shortcut": "centered"}],
    ids=["plain", "noshort", "group norm", "centered"],
)
def test_forward_is_the_paper_written_out(options):
    torch.manual_seed(0)
    model = ResNet(depth=14, num_classes=7, in_channels=1, **options).double().eval()
    for name, tensor in [*model.named_buffers(), *model.named_parameters()]:
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.ndim == 1:
            tensor.data.normal_(1.0)
    state = model.state_dict()

    def conv_norm(x, conv, norm, stride=1):
        x = F.conv2d(x, state[f"{conv}.weight"], stride=stride, padding=1)
        if "norm" in options:
            groups = x.unflatten(1, (-1, 16))  # 16 channels each
            mean = groups.mean((2, 3, 4), keepdim=True)
            var = ((groups - mean) ** 2).mean((2, 3, 4), keepdim=True)
            x = ((groups - mean) / (var + 1e-5).sqrt()).flatten(1, 2)
        else:
            mean, var = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
            x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        return x * state[f"{norm}.weight"][:, None, None] + state[f"{norm}.bias"][:, None, None]

    images = torch.randn(5, 1, 12, 9, dtype=torch.float64)
    x = conv_norm(images, "conv1", "bn1").relu()
    for stage in (1, 2, 3):
        for block in range(2):
            stride = 2 if stage > 1 and block == 0 else 1
            at = f"layer{stage}.{block}"
            out = conv_norm(x, f"{at}.conv1", f"{at}.bn1", stride).relu()
            out = conv_norm(out, f"{at}.conv2", f"{at}.bn2")
            if options.get("shortcuts", True):
                first = (out.shape[1] - x.shape[1]) // 2 if options.get("shortcut") == "centered" else 0
                out[:, first : first + x.shape[1]] += x[:, :, ::stride, ::stride]  # option A; the rest gets nothing
            x = out.relu()
    logits = x.mean((2, 3)) @ state["linear.weight"].T + state["linear.bias"]
    torch.testing.assert_close(model(images), logits, rtol=1e-10, atol=1e-10)


def test_the_zeros_of_a_centered_shortcut_move_the_function_and_not_the_names():
    torch.manual_seed(0)
    appended, centered = build("resnet20").eval(), build("resnet20", shortcut="centered").eval()
    centered.load_state_dict(appended.state_dict())
    images = torch.randn(3, 3, 32, 32)
    assert not torch.allclose(appended(images), centered(images), atol=1e-3)


def test_names_mean_their_variants():
    plain, noshort, group = build("resnet20"), build("resnet20-noshort"), build("resnet20-gn")
    assert [m.shortcut for m in noshort.modules() if hasattr(m, "shortcut")] == [None] * 9
    assert all(m.shortcut is not None for m in plain.modules() if hasattr(m, "shortcut"))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in group.modules())
    groups = [m.num_groups for m in group.modules() if isinstance(m, nn.GroupNorm)]
    assert groups == [1] * 7 + [2] * 6 + [4] * 6
    assert not list(group.buffers())  # no statistics: an example's logits do not depend on its batch
    assert plain.state_dict().keys() == noshort.state_dict().keys()


def test_without_batch_statistics_a_batch_is_its_examples():
    model = build("resnet", depth=8, norm="group").train()
    images = torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(model(images), torch.cat([model(image[None]) for image in images]), rtol=1e-4, atol=1e-5)


def test_initial_convolutions_are_he_normal_with_fan_in():
    torch.manual_seed(3)
    weight = build("resnet20").layer3[0].conv1.weight  # from 32 to 64 channels
    assert weight.std().item() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.02)


def test_channels_last_goes_through_the_shortcuts():
    model = build("resnet20").to(memory_format=torch.channels_last).eval()
    layouts = []
    for name, module in model.named_modules():
        if name.startswith("layer") and name.count(".") == 1:
            hook = module.shortcut.register_forward_hook
            hook(lambda _m, _i, out: layouts.append(out.is_contiguous(memory_format=torch.channels_last)))
    model(torch.randn(4, 3, 16, 16).to(memory_format=torch.channels_last))
    assert layouts == [True] * 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 21}, "depth must be 6n \\+ 2, such as 8, 14, 20, got 21"),
        ({"depth": 2}, "depth must be 6n"),
        ({"depth": "20"}, "depth must be a positive integer, got '20'"),
        ({"depth": 8, "shortcut": "B"}, "unknown shortcut 'B': expected appended or centered"),
        ({"depth": 8, "shortcut": "centered", "shortcuts": False}, "needs shortcuts"),
        ({"depth": 8, "norm": "layer"}, "unknown norm 'layer': expected batch or group"),
    ],
)
def test_impossible_networks_are_refused(options, message):
    with pytest.raises(LandscapeError, match=message):
        build("resnet", **options)
