import pytest
import torch
from torch import nn

from landscape.errors import LandscapeError
from landscape.workflow.doctor.checkpoint import CHECKS, accuracy, data, examine_checkpoint, recorded_loss
from landscape.workflow.doctor.finding import Finding, worst

LABELS = torch.arange(200) % 4


@pytest.fixture
def model(load):
    classifier = nn.Linear(4, 4, bias=False)
    nn.init.eye_(classifier.weight)
    return load(classifier, nn.functional.one_hot(LABELS).float(), LABELS)


def test_accuracy_well_above_chance_is_right(model) -> None:
    finding = accuracy(model)
    assert finding.status == "ok"
    assert finding.message == "100.00 ± 0.00% on 200 train examples; chance is 25.00%"


def test_accuracy_of_chance_is_broken(load) -> None:
    classifier = nn.Linear(4, 4)
    nn.init.zeros_(classifier.weight)
    finding = accuracy(load(classifier, nn.functional.one_hot(LABELS).float(), LABELS))
    assert finding.status == "broken"
    assert finding.values["accuracy"] == 0.25


def test_foreign_weights_record_neither_data_nor_loss(model) -> None:
    assert data(model).status == recorded_loss(model).status == "skipped"


def test_a_check_that_cannot_be_made_is_skipped_with_the_reason(model) -> None:
    def hopeless(_):
        raise LandscapeError("no second derivative")

    assert examine_checkpoint(model, [hopeless, accuracy])[0] == Finding("hopeless", "skipped", "no second derivative")


def test_every_check_has_one_finding_of_its_own_name(model) -> None:
    findings = examine_checkpoint(model)
    assert len({finding.check for finding in findings}) == len(findings) == len(CHECKS)
    assert "broken" not in {finding.status for finding in findings}
    assert all(finding.remedy for finding in findings if finding.status == "warning")


def test_the_worst_status_counts() -> None:
    findings = [Finding("a", "ok", ""), Finding("b", "broken", ""), Finding("c", "warning", "")]
    assert worst(findings) == "broken"
    assert worst(findings[:1]) == "ok"
    assert worst([]) == "ok"
