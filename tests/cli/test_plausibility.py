import torch
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.workflow.sources.plausibility import origin_accuracy

LABELS = torch.arange(400) % 4


def judged(labels: torch.Tensor, recorded: float | None = None) -> list[str]:
    """Return the warnings of a model that answers right on balanced labels, and of its labels given as others."""
    model = nn.Linear(4, 4, bias=False)
    nn.init.eye_(model.weight)
    objective = Objective(model, "cross_entropy", nn.functional.one_hot(LABELS).float(), labels, device="cpu")
    return origin_accuracy(objective, "train", labels, recorded)["warnings"]


def test_a_right_model_is_not_warned_of() -> None:
    assert judged(LABELS) == []
    assert judged(LABELS, recorded=1.0) == []


def test_another_order_of_classes_is() -> None:
    (message,) = judged((LABELS + 1) % 4)
    assert message.startswith("the accuracy on 400 train examples is 0.0%, and 25.0% is what one constant answer gives")


def test_far_below_the_recorded_accuracy_is() -> None:
    labels = torch.where(torch.arange(400) < 80, (LABELS + 1) % 4, LABELS)
    (message,) = judged(labels, recorded=0.95)
    assert "80.0%, far below the recorded 95.0%" in message
    assert judged(labels, recorded=0.82) == []


def test_on_unbalanced_data_a_constant_answer_is_chance() -> None:
    model = nn.Linear(1, 2)
    nn.init.zeros_(model.weight)
    model.bias.data = torch.tensor([1.0, 0.0])
    labels = (torch.arange(200) % 10 == 0).long()
    objective = Objective(model, "cross_entropy", torch.ones(200, 1), labels, device="cpu")
    found = origin_accuracy(objective, "train", labels, None)
    assert found["accuracy"] == found["chance"] == 0.9
    assert len(found["warnings"]) == 1
