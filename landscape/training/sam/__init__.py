"""SAM and its kin: optimizers that take their gradient at displaced weights, over any first-order torch optimizer."""

from landscape.training.sam.random_perturbation import RandomPerturbation
from landscape.training.sam.sam import SAM

__all__ = ["SAM", "RandomPerturbation"]
