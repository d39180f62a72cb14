import pytest
import torch
import torch.nn.functional as F
from torch import nn

from landscape.models import build


@pytest.mark.parametrize(("depth", "k", "millions"), [(40, 1, 0.6), (16, 8, 11.0), (28, 10, 36.5)])
def test_parameter_counts_are_the_papers(depth, k, millions):
    # tables 4 and 9 of arXiv:1605.07146, and its table 1 written out
    n, widths = (depth - 4) // 6, (16 * k, 32 * k, 64 * k)
    count, before = 3 * 16 * 9, 16
    for width in widths:
        count += 9 * (before * width + (2 * n - 1) * width**2)  # the 3×3 convolutions
        count += before * width * (before != width)  # the 1×1 shortcut
        count += 2 * (before + (2 * n - 1) * width)  # BatchNorm before each of them
        before = width
    count += 2 * before + before * 10 + 10
    with torch.device("meta"):
        model = build("wrn", depth=depth, k=k)
    assert sum(p.numel() for p in model.parameters()) == count
    assert count / 1e6 == pytest.approx(millions, abs=0.051)
    assert sum(isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) for m in model.modules()) == depth - 3


def test_its_name_means_the_papers_best():
    with torch.device("meta"):
        named, described = build("wrn28-10"), build("wrn", depth=28, k=10)
    assert {n: p.shape for n, p in named.named_parameters()} == {n: p.shape for n, p in described.named_parameters()}


@pytest.mark.parametrize("k", [1, 2])  # with 1, the first stage needs no projection
def test_forward_is_the_paper_written_out(k):
    torch.manual_seed(0)
    model = build("wrn", depth=16, k=k, num_classes=7, in_channels=1, dropout=0.5).double().eval()
    for name, tensor in [*model.named_buffers(), *model.named_parameters()]:
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.ndim == 1:
            tensor.data.normal_(1.0)
    state = model.state_dict()

    def activated(x, name):
        mean, var, weight, bias = (
            state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 1e-5).sqrt() * weight + bias).relu()

    images = torch.randn(3, 1, 12, 9, dtype=torch.float64)
    x = F.conv2d(images, state["conv1.weight"], padding=1)
    for stage in (1, 2, 3):
        for block in range(2):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            active = activated(x, f"{at}.bn1")
            out = F.conv2d(active, state[f"{at}.conv1.weight"], padding=1, stride=stride)
            out = F.conv2d(activated(out, f"{at}.bn2"), state[f"{at}.conv2.weight"], padding=1)
            if x.shape == out.shape:
                x = x + out
            else:
                x = F.conv2d(active, state[f"{at}.shortcut.weight"], stride=stride) + out
    logits = activated(x, "bn1").mean((2, 3)) @ state["linear.weight"].T + state["linear.bias"]
    torch.testing.assert_close(model(images), logits, rtol=1e-10, atol=1e-10)


def test_dropout_stands_between_the_convolutions_and_is_off_by_default():
    model = build("wrn", depth=10, k=1, dropout=0.3)
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.3] * 3
    assert not any(isinstance(m, nn.Dropout) for m in build("wrn", depth=10, k=1).modules())
    seen = []
    block = model.layer2[0]
    block.conv2.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    block.bn2.register_forward_hook(lambda _m, _i, out: seen.append(out))
    model.train()(torch.randn(4, 3, 16, 16))
    before, dropped = seen
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], before.relu()[kept] / 0.7)
    assert kept.float().sum() / (before > 0).sum() == pytest.approx(0.7, abs=0.05)


def test_initial_weights_are_the_authors():
    torch.manual_seed(3)
    model = build("wrn", depth=10, k=4)
    assert model.layer3[0].conv1.weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)  # fan-out
    assert model.linear.bias.abs().max() == 0
