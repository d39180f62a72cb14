import pytest
import torch
import torch.nn.functional as F

from landscape.models import build


def test_its_numbers_are_the_courseworks():
    model = build("coursework")
    statistics = [buffer for name, buffer in model.named_buffers() if "running" in name]
    assert sum(t.numel() for t in [*model.parameters(), *statistics]) == 575_114
    assert sum(p.numel() for p in model.parameters()) == 571_114


def test_forward_is_the_description_written_out():
    torch.manual_seed(0)
    model = build("coursework", num_classes=7, in_channels=1).double().eval()
    for name, tensor in [*model.named_buffers(), *model.named_parameters()]:
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.ndim == 1:
            tensor.data.normal_(1.0)
    state = model.state_dict()

    def conv(x, name, stride=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state[f"{name}.bias"], stride=stride, padding=weight.shape[-1] // 2)

    def norm(x, name):
        mean, var, weight, bias = (
            state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-3).sqrt() * weight + bias

    images = torch.randn(3, 1, 32, 32, dtype=torch.float64)
    x = norm(conv(images, "conv1"), "bn1").relu()
    assert x.shape[1] == 16
    for stage, (inner, width) in enumerate([(16, 64), (64, 128), (128, 256)], start=1):
        for block in range(2):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            out = norm(conv(x, f"{at}.conv1"), f"{at}.bn1").relu()
            out = norm(conv(out, f"{at}.conv2", stride), f"{at}.bn2").relu()
            assert out.shape[1] == inner
            out = norm(conv(out, f"{at}.conv3"), f"{at}.bn3")
            around = (
                x if block else F.conv2d(x, state[f"{at}.shortcut.weight"], state[f"{at}.shortcut.bias"], stride=stride)
            )
            x = (out + around).relu()
            assert x.shape[1] == width
    pooled = F.avg_pool2d(norm(x, "bn2").relu(), 8).flatten(1)
    logits = pooled @ state["linear.weight"].T + state["linear.bias"]
    torch.testing.assert_close(model(images), logits, rtol=1e-10, atol=1e-10)


def test_initial_weights_are_kerass_he_normal():
    torch.manual_seed(0)
    model = build("coursework")
    for layer, fan_in in ((model.layer3[1].conv2, 128 * 9), (model.layer3[1].conv3, 128), (model.linear, 256)):
        std = (2 / fan_in) ** 0.5
        assert layer.weight.std().item() == pytest.approx(std, rel=0.05)
        assert layer.weight.abs().max().item() <= 2 * std / 0.8796
        assert layer.bias.abs().max() == 0
    assert {(m.eps, m.momentum) for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {(1e-3, 0.01)}
