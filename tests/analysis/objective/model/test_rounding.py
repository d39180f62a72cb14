"""Weights in bfloat16: a kernel keeps its sum, biases their mean over batches, and so the loss its value."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.objective.model.rounding import ROUNDINGS, rounded_biases, rounded_kernels
from landscape.analysis.objective.objective import Objective

SHAPES = {
    "1d": (4, 3, 5),
    "2d": (6, 4, 3, 3),
    "3d": (2, 3, 2, 3, 2),
    "pointwise": (5, 7, 1, 1),
    "grouped": (8, 1, 3, 3),
}


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def half_ulp(values: Tensor) -> Tensor:
    """Return half a unit in the last place of bfloat16, which has 8 bits: at most 2⁻⁸ of the value."""
    return values.abs().double() * 2.0**-8


@pytest.mark.parametrize("seed", range(3))
def test_each_kernel_keeps_its_sum(seed: int) -> None:
    weights = {name: drawn(shape, seed) for name, shape in SHAPES.items()}
    rounded = rounded_kernels(weights)
    assert rounded.keys() == weights.keys()
    for name, w in weights.items():
        q = rounded[name]
        assert (q.dtype, q.shape) == (torch.bfloat16, w.shape)
        taps, found = w.flatten(2).double(), q.flatten(2).double()
        left = (taps - found).sum(2).abs()
        assert (left <= half_ulp(found[..., -1]) + 1e-7).all()
        passed_on = F.pad(half_ulp(found)[..., :-1], (1, 0))  # to a tap from the one before
        assert ((taps - found).abs() <= half_ulp(found) + passed_on + 1e-7).all()


def test_a_kernel_of_one_tap_is_rounded_to_the_nearest() -> None:
    w = drawn((5, 7, 1, 1), 0)
    torch.testing.assert_close(rounded_kernels({"w": w})["w"], w.bfloat16(), rtol=0, atol=0)


def test_no_kernel_hears_of_another() -> None:
    a, b = drawn((4, 3, 3, 3), 0), drawn((4, 3, 3, 3), 1)
    alone, beside = rounded_kernels({"a": a})["a"], rounded_kernels({"b": b, "a": a})["a"]
    torch.testing.assert_close(alone, beside, rtol=0, atol=0)
    torch.testing.assert_close(rounded_kernels({"a": a[1:2, 2:]})["a"], alone[1:2, 2:], rtol=0, atol=0)


def test_the_mean_of_rounded_biases_converges_to_the_bias() -> None:
    biases = {"a": drawn((40,), 0), "b": drawn((7,), 1) * 1e-3, "scale": torch.tensor(0.3)}
    copies = rounded_biases(biases)
    assert len(copies) == ROUNDINGS
    for name, exact in biases.items():
        rounded = torch.stack([copy[name] for copy in copies])
        assert (rounded.dtype, rounded[0].shape) == (torch.bfloat16, exact.shape)
        torch.testing.assert_close(rounded[0], exact.bfloat16(), rtol=0, atol=0)  # one batch alone: to the nearest
        steps = torch.arange(1, ROUNDINGS + 1).view(-1, *[1] * exact.ndim)
        errors = rounded.double().cumsum(0) - exact.double() * steps
        assert (errors.abs() <= 1.01 * half_ulp(exact)).all()
    assert rounded_biases({}) == [{}]


def test_what_is_not_finite_stays_by_itself() -> None:
    most, inf = torch.finfo(torch.float32).max, float("inf")
    for copy in rounded_biases({"mask": torch.tensor([-inf, inf, -most, 0.3])}):
        assert copy["mask"][:3].tolist() == [-inf, inf, -inf]
        assert copy["mask"][3].item() == pytest.approx(0.3, rel=0.01)
    kernel = torch.tensor([0.3, inf, 0.3, most, 0.3]).view(1, 1, 5)  # the most of float32 is beyond bfloat16
    torch.testing.assert_close(
        rounded_kernels({"w": kernel})["w"].float(), kernel.bfloat16().float(), rtol=0.01, atol=0
    )


def test_bare_transposed_and_complex_convolutions() -> None:
    x = smooth_images(4)
    bare = Objective(
        nn.Conv2d(3, 10, 16), lambda z, y: F.cross_entropy(z.flatten(1), y), x, torch.arange(4), device="cpu"
    )
    own = bare.network.forward(None, None, torch.bfloat16)(x.bfloat16())
    weight = rounded_kernels({"w": bare.network.origin["weight"]})["w"]
    torch.testing.assert_close(own, F.conv2d(x.bfloat16(), weight, bare.network.origin["bias"].bfloat16()))

    class Waves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose2d(3, 10, 2, stride=2)
            self.waves = nn.Parameter(torch.zeros(2, dtype=torch.complex64))

        def forward(self, x: Tensor) -> Tensor:
            return self.up(x).mean((2, 3)) + self.waves.real.sum().to(x.dtype)

    model = Waves()
    waves = Objective(model, "cross_entropy", x, torch.arange(4), params="up*", device="cpu")
    found = waves.network.forward(None, None, torch.bfloat16)(x.bfloat16())
    rounded = model.up.bfloat16()
    torch.testing.assert_close(found, rounded(x.bfloat16()).mean((2, 3)))


def smooth_images(count: int) -> Tensor:
    """Return (N, 3, 16, 16) images in which neighbouring pixels are alike, as those of photographs are."""
    return F.interpolate(torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0)), 16, mode="bicubic")


def network(seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU()]
        for _ in range(3):
            layers += [nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.ReLU()]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 16 * 16, 10, bias=False))


def test_the_loss_moves_less_than_by_rounding_each_weight_by_itself() -> None:
    images, labels = smooth_images(40), torch.arange(40) % 10
    errors: dict[str, list[float]] = {"each": [], "kernels": []}
    for seed in range(10):
        model = network(seed)
        exact = F.cross_entropy(5 * model(images), labels).item()
        own = {name: w.detach().clone() for name, w in model.named_parameters() if w.ndim == 4}
        for how, rounded in (("each", own), ("kernels", rounded_kernels(own))):
            with torch.no_grad():
                for name, w in model.named_parameters():
                    if w.ndim == 4:
                        w.copy_(rounded[name].bfloat16().float())
                errors[how].append(F.cross_entropy(5 * model(images), labels).item() - exact)
    each, kernels = (float(np.sqrt(np.mean(np.square(errors[how])))) for how in ("each", "kernels"))
    assert kernels < each / 2


@pytest.mark.parametrize("batchnorm", ["fixed", "recalibrated", "batch"])
def test_passes_in_bfloat16_take_them(batchnorm: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 10))
    images, labels = smooth_images(12), torch.arange(12) % 10
    objective = Objective(model, "cross_entropy", images, labels, batchnorm=batchnorm, device="cpu")  # type: ignore[arg-type]
    seen: list[Tensor] = []
    last: list[Tensor] = []  # after what recalibrates

    def note(x: Tensor, weight: Tensor, *arguments: object, **options: object) -> Tensor:
        seen.append(weight)
        return torch.conv2d(x, weight, *arguments, **options)  # type: ignore[call-overload,no-any-return]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "conv2d", note)
        for precision in ("float32", "bfloat16"):
            objective.sums(precision=precision)
            last.append(seen[-1])
    expected = rounded_kernels({"w": last[0]})["w"]
    torch.testing.assert_close(last[1], expected, rtol=0, atol=0)
    assert not torch.equal(expected, last[0].bfloat16())


def test_batches_cancel_the_rounding_of_biases() -> None:
    images, labels = smooth_images(64), torch.arange(64) % 10
    errors: dict[int, list[float]] = {64: [], 8: []}
    for seed in range(8):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            layers = [nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 256, 10)]
            model = nn.Sequential(*layers)
        with torch.no_grad():  # so that of all tensors only the biases are rounded
            model[0].weight.copy_(model[0].weight.bfloat16())
            model[3].weight.copy_(model[3].weight.bfloat16())
            model[0].bias.add_(2.0)
        objective = Objective(model, "cross_entropy", images.bfloat16().float(), labels, device="cpu")
        exact = objective.sums()[0, 0, 0].item()
        for size, relative in errors.items():
            relative.append(objective.sums(precision="bfloat16", batch_size=size)[0, 0, 0].item() / exact - 1)
    one, many = (float(np.sqrt(np.mean(np.square(errors[size])))) for size in (64, 8))
    assert many < one / 2
