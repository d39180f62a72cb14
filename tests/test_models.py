import pytest
import torch
import torch.nn.functional as F
from torch import nn

from landscape.errors import LandscapeError
from landscape.models import MODELS, build, resnet20


@pytest.mark.parametrize(("depth", "parameters"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018)])
def test_parameter_counts_are_he_et_al(depth, parameters):
    # 0.27M, 0.46M, 0.66M, 0.85M in table 6 of arXiv:1512.03385; computed here from its description.
    n = (depth - 2) // 6
    convs = 9 * (3 * 16 + 2 * n * 16**2 + 16 * 32 + (2 * n - 1) * 32**2 + 32 * 64 + (2 * n - 1) * 64**2)
    norms = 2 * (16 + 2 * n * (16 + 32 + 64))
    model = build(f"resnet{depth}")
    assert sum(p.numel() for p in model.parameters()) == convs + norms + 64 * 10 + 10 == parameters
    weighted = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(weighted) == depth


def test_resnet110_is_built():
    assert sum(p.numel() for p in build("resnet110").parameters()) == 1_727_962


def test_forward_is_the_paper_written_out():
    torch.manual_seed(0)
    model = resnet20(num_classes=7, in_channels=1).double().eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    state = model.state_dict()

    def conv_bn(x, conv, bn, stride=1):
        x = F.conv2d(x, state[f"{conv}.weight"], stride=stride, padding=1)
        mean, var = state[f"{bn}.running_mean"], state[f"{bn}.running_var"]
        weight, bias = state[f"{bn}.weight"], state[f"{bn}.bias"]
        return (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt() * weight[:, None, None] + bias[
            :, None, None
        ]

    images = torch.randn(5, 1, 12, 9, dtype=torch.float64)
    x = conv_bn(images, "conv1", "bn1").relu()
    for stage in (1, 2, 3):
        for block in range(3):
            stride = 2 if stage > 1 and block == 0 else 1
            at = f"layer{stage}.{block}"
            out = conv_bn(x, f"{at}.conv1", f"{at}.bn1", stride).relu()
            out = conv_bn(out, f"{at}.conv2", f"{at}.bn2")
            out[:, : x.shape[1]] += x[:, :, ::stride, ::stride]  # option A; the added channels get nothing
            x = out.relu()
    logits = x.mean((2, 3)) @ state["linear.weight"].T + state["linear.bias"]
    torch.testing.assert_close(model(images), logits, rtol=1e-10, atol=1e-10)


def test_initial_convolutions_are_he_normal_and_seeded():
    torch.manual_seed(3)
    model = resnet20()
    weight = model.layer3[1].conv1.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    torch.manual_seed(3)
    again = resnet20().state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())


def test_symbolic_trace_computes_the_same():
    model = resnet20(in_channels=1).eval()
    traced = torch.fx.symbolic_trace(model)
    images = torch.randn(3, 1, 8, 8)
    assert torch.equal(traced(images), model(images))


def test_channels_last_goes_through_the_shortcuts_and_bf16_works():
    model = resnet20().to(memory_format=torch.channels_last).eval()
    layouts = []
    for name, module in model.named_modules():
        if name.startswith("layer") and name.count(".") == 1:
            hook = module.shortcut.register_forward_hook
            hook(lambda _m, _i, out: layouts.append(out.is_contiguous(memory_format=torch.channels_last)))
    images = torch.randn(4, 3, 16, 16).to(memory_format=torch.channels_last)
    expected = model(images)
    assert layouts == [True] * 9
    logits = model.to(torch.bfloat16)(images.to(torch.bfloat16))
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - expected).abs().max() < 0.1 * expected.abs().max()


def test_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(LandscapeError, match="unknown model 'resnet21'") as caught:
        build("resnet21")
    assert all(name in str(caught.value) for name in MODELS)


@pytest.mark.parametrize("arguments", [{"depth": 20}, {"num_classes": 0}, {"in_channels": "3"}, {"num_classes": True}])
def test_bad_arguments_are_refused_in_one_line(arguments):
    with pytest.raises(LandscapeError) as caught:
        build("resnet20", **arguments)
    assert "\n" not in str(caught.value)
