import pytest
import torch
import torch.nn.functional as F

from landscape.models import build
from landscape.models.shake import shaken
from landscape.models.shakeshake import ShakeShakeBlock, TwoPaths


@pytest.mark.parametrize(("width", "millions"), [(32, 2.9), (64, 11.7), (96, 26.2)])
def test_parameter_counts_are_the_papers(width, millions):
    # table 2 of arXiv:1705.07485; two branches of two 3×3 convolutions per block, written out
    count, before = 3 * 16 * 9 + 2 * 16, 16
    for channels in (width, 2 * width, 4 * width):
        count += 2 * 9 * (before * channels + 7 * channels**2) + 4 * 4 * 2 * channels
        count += before * channels + 2 * channels  # the shortcut's two halves and its BatchNorm
        before = channels
    count += before * 10 + 10
    with torch.device("meta"):
        model = build(f"shakeshake26-2x{width}d")
    assert sum(p.numel() for p in model.parameters()) == count
    assert count / 1e6 == pytest.approx(millions, abs=0.051)


def test_a_shaken_tensor_has_one_factor_forward_and_another_backward():
    x = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    alpha, beta = torch.rand(2, 4, 1, 1, 1)
    out = shaken(x, alpha, beta)
    torch.testing.assert_close(out, alpha * x, check_dtype=False)
    upstream = torch.randn_like(out)
    (gradient,) = torch.autograd.grad(out, x, upstream)
    torch.testing.assert_close(gradient, beta * upstream, check_dtype=False)


def test_a_block_mixes_its_branches_by_two_numbers_per_image():
    torch.manual_seed(0)
    block = ShakeShakeBlock(4, 4, 1).train()
    x = torch.randn(5, 4, 6, 6)
    first, second = block.branch1(x.relu()), block.branch2(x.relu())
    outputs = {}
    for name in ("branch1", "branch2"):
        getattr(block, name).register_forward_hook(lambda _m, _i, out, name=name: outputs.update({name: out}))
    mixed = block(x) - x
    alpha = ((mixed - second) * (first - second)).sum((1, 2, 3)) / (first - second).square().sum((1, 2, 3))
    assert ((alpha > 0) & (alpha < 1)).all()
    assert len(alpha.unique()) == 5
    each = alpha[:, None, None, None]
    torch.testing.assert_close(mixed, each * first + (1 - each) * second, rtol=1e-4, atol=1e-5)
    to_first, to_second = torch.autograd.grad(mixed.sum(), [outputs["branch1"], outputs["branch2"]])
    beta = to_first[:, 0, 0, 0]
    assert ((beta > 0) & (beta < 1)).all()
    assert (beta - alpha).abs().min() > 1e-3
    torch.testing.assert_close(to_first, beta[:, None, None, None].expand_as(first))
    torch.testing.assert_close(to_second, 1 - to_first)


def test_factors_are_uniform():
    torch.manual_seed(0)
    block = ShakeShakeBlock(2, 2, 1).train()
    for module, value in ((block.branch1, 1.0), (block.branch2, 0.0)):
        module.register_forward_hook(lambda _m, _i, out, value=value: torch.full_like(out, value))
    alpha = block(torch.zeros(20_000, 2, 1, 1))[:, 0, 0, 0]
    assert alpha.mean().item() == pytest.approx(0.5, abs=0.01)
    assert alpha.var().item() == pytest.approx(1 / 12, abs=0.002)


def test_evaluation_takes_half_of_each_branch():
    torch.manual_seed(0)
    block = ShakeShakeBlock(4, 4, 1).eval()
    x = torch.randn(3, 4, 6, 6)
    expected = x + (block.branch1(x.relu()) + block.branch2(x.relu())) / 2
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_shortcuts_second_path_sees_the_image_shifted_right_and_down(stride):
    torch.manual_seed(0)
    shortcut = TwoPaths(3, 4, stride).eval()
    x = torch.randn(2, 3, 7, 6)
    shifted = torch.zeros_like(x)
    shifted[:, :, 1:, 1:] = x.relu()[:, :, :-1, :-1]
    paths = [x.relu()[:, :, ::stride, ::stride], shifted[:, :, ::stride, ::stride]]
    halves = [
        torch.einsum("nchw,oc->nohw", path, conv.weight[:, :, 0, 0])
        for path, conv in zip(paths, (shortcut.conv1, shortcut.conv2), strict=True)
    ]
    torch.testing.assert_close(shortcut(x), shortcut.bn(torch.cat(halves, 1)), rtol=1e-4, atol=1e-5)


def test_the_network_is_its_stages_between_stem_and_head():
    torch.manual_seed(0)
    model = build("shakeshake", depth=14, width=8, num_classes=7, in_channels=1).eval()
    images = torch.randn(3, 1, 12, 12)
    x = model.bn1(F.conv2d(images, model.conv1.weight, padding=1))
    shapes = []
    for stage in (model.layer1, model.layer2, model.layer3):
        assert len(stage) == 2
        for block in stage:
            x = block(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(8, 12, 12), (16, 6, 6), (32, 3, 3)]
    torch.testing.assert_close(model(images), F.linear(x.relu().mean((2, 3)), model.linear.weight))
    first = model.layer1[0].branch1
    assert [type(m).__name__ for m in first] == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d"]


def test_initial_weights_are_the_authors():
    torch.manual_seed(3)
    model = build("shakeshake", depth=8, width=64)
    weight = model.layer3[0].branch1[0].weight  # from 128 to 256 channels
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    assert model.linear.bias.abs().max() == 0
