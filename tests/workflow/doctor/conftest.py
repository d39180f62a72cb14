"""Models that are right by construction, with data that can be spoiled one way at a time."""

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor, nn

from landscape.data import Dataset, Split
from landscape.workflow.reporter import ProgressOnly, Quiet
from landscape.workflow.sources.loaded_model import LoadedModel
from landscape.workflow.sources.specs import Sample

Load = Callable[..., LoadedModel]


@pytest.fixture
def load() -> Load:
    """Return a function of (model, inputs, labels) that makes a loaded model of a classification."""

    def make(model: nn.Module, inputs: Tensor, labels: Tensor, **options: object) -> LoadedModel:
        classes = tuple(f"class {label}" for label in range(int(labels.max()) + 1))
        dataset = Dataset("python", {"train": Split(inputs, labels)}, classes, **options)
        reporter = ProgressOnly(Quiet())
        return LoadedModel(
            "m", Path("m.pt"), model.eval(), dataset, None, Sample(size=None, device="cpu"), reporter=reporter
        )

    return make
