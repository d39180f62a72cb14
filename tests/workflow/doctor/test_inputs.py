import dataclasses

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from landscape.workflow.doctor.inputs import class_order, normalization

LEVELS = torch.arange(200) % 4  # brightness of an image, and its class
MEAN, STD = 0.5, 0.5


class Brightness(nn.Module):
    """Answers the level nearest to an image's mean, of images that were normalized to -1…1."""

    def __init__(self) -> None:
        super().__init__()
        self.centers = nn.Parameter((torch.arange(4) * 60 / 255 - MEAN) / STD)

    def forward(self, images: Tensor) -> Tensor:
        return -100 * (images.mean((1, 2, 3))[:, None] - self.centers) ** 2


def images() -> Tensor:
    return (LEVELS * 60).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()


def test_the_right_normalization_is_not_warned_of(load) -> None:
    finding = normalization(load(Brightness(), images(), LEVELS, mean=(MEAN,), std=(STD,)))
    assert finding.status == "ok", finding
    assert max(finding.values.values()) <= 1


@pytest.mark.parametrize("given", [{}, {"mean": (0.0,), "std": (1 / 255,)}], ids=["none", "0…255"])
def test_a_wrong_one_is_with_the_option_that_mends_it(load, given) -> None:
    finding = normalization(load(Brightness(), images(), LEVELS, **given))
    assert finding.status == "warning"
    assert finding.message.startswith("100.00% with the -1…1 normalization")
    assert finding.remedy == "give --normalize 0.5/0.5"


def test_inputs_other_than_images_have_none(load) -> None:
    model = load(nn.Linear(4, 4), nn.functional.one_hot(LEVELS).float(), LEVELS)
    assert normalization(model).status == "skipped"


def classifier(noise: float = 0.0) -> nn.Linear:
    model = nn.Linear(4, 4, bias=False)
    nn.init.eye_(model.weight)
    model.weight.data += noise * torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    return model


def test_classes_in_order_are_not_warned_of(load) -> None:
    finding = class_order(load(classifier(), nn.functional.one_hot(LEVELS).float(), LEVELS))
    assert finding.status == "ok"
    assert finding.values == {"accuracy": 1.0, "accuracy_in_best_order": 1.0}


def test_another_order_of_classes_is_named(load) -> None:
    swapped = torch.tensor([1, 0, 2, 3])[LEVELS]
    finding = class_order(load(classifier(), nn.functional.one_hot(LEVELS).float(), swapped))
    assert finding.status == "warning"
    assert finding.values["accuracy"] == 0.5
    assert finding.values["moved"] == ["class 0 as class 1", "class 1 as class 0"]
    assert "100.00% of the answers are right in another order of the classes, 50.00% in this one" in finding.message


def test_guesses_have_no_order_that_fits(load) -> None:
    """The best of 20! orders fits random answers to the examples it was found on, but not to others."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.arange(20), torch.randint(0, 20, (180,), generator=generator)])
    model = nn.Linear(20, 20, bias=False)
    nn.init.eye_(model.weight)
    inputs = torch.randn(200, 20, generator=generator)
    counts = torch.zeros(20, 20, dtype=torch.int64)
    counts.index_put_((labels, model(inputs).argmax(1)), torch.tensor(1), accumulate=True)
    assert counts[linear_sum_assignment(counts, maximize=True)].sum() / 200 > 0.15
    finding = class_order(load(model, inputs, labels))
    assert finding.status == "ok"
    assert finding.values["accuracy_in_best_order"] < 0.12


def test_outputs_without_classes_have_no_order(load) -> None:
    model = load(nn.Linear(4, 1), nn.functional.one_hot(LEVELS).float(), LEVELS)
    model = dataclasses.replace(model, sample=dataclasses.replace(model.sample, loss="mse"))
    assert class_order(model).status == "skipped"
