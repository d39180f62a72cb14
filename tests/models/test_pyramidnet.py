import math

import pytest
import torch
import torch.nn.functional as F

from landscape.models import build
from landscape.models.pyramidnet import PyramidBlock, ShakeDrop


@pytest.mark.parametrize(
    ("depth", "alpha", "bottleneck", "millions", "features"),
    [
        (110, 48, False, 1.7, 64),
        (110, 84, False, 3.8, 100),
        (110, 270, False, 28.3, 286),
        (164, 48, True, 1.7, 256),
        (272, 200, True, 26.0, 864),
    ],
)
def test_sizes_are_the_papers(depth, alpha, bottleneck, millions, features):
    # tables 2 and 4 of arXiv:1610.02915, whose counts are for cut widths and not these rounded ones: a few per cent.
    blocks = 3 * (depth - 2) // (9 if bottleneck else 6)
    count, before = 3 * 16 * 9 + 2 * 16, 16
    for number in range(1, blocks + 1):
        width = math.floor(16 + alpha * number / blocks + 0.5)
        if bottleneck:
            count += before * width + 9 * width**2 + 4 * width**2 + 2 * (before + 2 * width + 4 * width)
        else:
            count += 9 * (before * width + width**2) + 2 * (before + 2 * width)
        before = 4 * width if bottleneck else width
    count += 2 * before + before * 10 + 10
    with torch.device("meta"):
        model = build("pyramidnet", depth=depth, alpha=alpha, bottleneck=bottleneck)
    assert sum(p.numel() for p in model.parameters()) == count
    assert count / 1e6 == pytest.approx(millions, rel=0.05)
    assert model.linear.in_features == features


def test_names_mean_the_papers_networks():
    with torch.device("meta"):
        basic, deep, noisy = (build(name) for name in ("pyramidnet110", "pyramidnet272", "pyramidnet272-shakedrop"))
    assert [len(stage) for stage in (basic.layer1, basic.layer2, basic.layer3)] == [18] * 3
    assert [len(stage) for stage in (noisy.layer1, noisy.layer2, noisy.layer3)] == [30] * 3
    assert (basic.linear.in_features, deep.linear.in_features, noisy.linear.in_features) == (286, 864, 864)
    assert not any(isinstance(m, ShakeDrop) for m in [*basic.modules(), *deep.modules()])
    survival = [m.survival for m in noisy.modules() if isinstance(m, ShakeDrop)]
    assert survival == pytest.approx([1 - block / 90 * 0.5 for block in range(1, 91)])


@pytest.mark.parametrize("bottleneck", [False, True])
def test_forward_is_the_paper_written_out(bottleneck):
    torch.manual_seed(0)
    depth = 20 if bottleneck else 14
    model = build("pyramidnet", depth=depth, alpha=20, num_classes=7, in_channels=1, bottleneck=bottleneck)
    model = model.double().eval()
    for name, tensor in [*model.named_buffers(), *model.named_parameters()]:
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.ndim == 1:
            tensor.data.normal_(1.0)
    state = model.state_dict()

    def norm(x, name):
        mean, var, weight, bias = (
            state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def conv(x, name, stride=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    images = torch.randn(3, 1, 12, 12, dtype=torch.float64)
    x = norm(conv(images, "conv1"), "bn1")
    widths = []
    for stage in (1, 2, 3):
        for block in range(2):
            at, stride = f"layer{stage}.{block}.residual", 2 if stage > 1 and block == 0 else 1
            if bottleneck:
                out = norm(conv(norm(x, f"{at}.0"), f"{at}.1"), f"{at}.2").relu()
                out = norm(conv(out, f"{at}.4", stride), f"{at}.5").relu()
                out = norm(conv(out, f"{at}.7"), f"{at}.8")
            else:
                out = norm(conv(norm(x, f"{at}.0"), f"{at}.1", stride), f"{at}.2").relu()
                out = norm(conv(out, f"{at}.4"), f"{at}.5")
            if stride == 2:
                x = x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean((3, 5))
            out[:, : x.shape[1]] += x  # the added channels get nothing
            x = out
            widths.append(x.shape[1])
    assert widths == [width * (4 if bottleneck else 1) for width in (19, 23, 26, 29, 33, 36)]  # 16 + 20/6 each, rounded
    logits = norm(x, "bn2").relu().mean((2, 3)) @ state["linear.weight"].T + state["linear.bias"]
    torch.testing.assert_close(model(images), logits, rtol=1e-10, atol=1e-10)


def test_shakedrop_scales_by_its_definition():
    torch.manual_seed(0)
    drop = ShakeDrop(0.7).train()
    x = torch.ones(40_000, 2, 1, 1, requires_grad=True)
    out = drop(x)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(out[:, 0], out[:, 1])  # one number for all of an image
    forward, backward = out[:, 0, 0, 0], gradient[:, 0, 0, 0]
    kept = forward == 1
    assert torch.equal(kept, backward == 1)  # one b for both directions
    assert kept.float().mean().item() == pytest.approx(0.7, abs=0.01)
    for factor, low, high in ((forward[~kept], -1, 1), (backward[~kept], 0, 1)):
        assert low <= factor.min() < low + 0.01
        assert high - 0.01 < factor.max() <= high
        assert factor.mean().item() == pytest.approx((low + high) / 2, abs=0.02)
        assert factor.var().item() == pytest.approx((high - low) ** 2 / 12, abs=0.02)
    correlation = torch.corrcoef(torch.stack([forward[~kept], backward[~kept]]))[0, 1]
    assert abs(correlation) < 0.04
    mean = out.mean().item()
    torch.testing.assert_close(drop.eval()(x), 0.7 * x)
    assert mean == pytest.approx(0.7, abs=0.01)  # evaluation mode is the mean of training


def test_shakedrop_leaves_the_shortcut_alone():
    block = PyramidBlock(torch.nn.Sequential(), 1, 0, 0.5).train()
    x = torch.ones(200, 1, 2, 2)
    factor = block(x)[:, 0, 0, 0] - 1
    assert factor.min() < 0
    assert factor.max() == 1


def test_odd_sizes_are_pooled_to_the_size_of_the_convolution():
    model = build("pyramidnet", depth=8, alpha=6).eval()
    sizes = []
    for stage in (model.layer1, model.layer2, model.layer3):
        stage.register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape[2:])))
    model(torch.randn(2, 3, 13, 10))
    assert sizes == [(13, 10), (7, 5), (4, 3)]


def test_initial_weights_are_the_authors():
    torch.manual_seed(3)
    model = build("pyramidnet", depth=8, alpha=120)
    weight = model.layer3[0].residual[1].weight  # from 96 to 136 channels
    assert weight.shape[:2] == (136, 96)
    assert weight.std().item() == pytest.approx((2 / (136 * 9)) ** 0.5, rel=0.02)
    assert model.linear.bias.abs().max() == 0
