"""SAM and related methods: optimizers that take the gradient at perturbed weights, over any first-order optimizer."""

from landscape.training.sam.friendly import FriendlySAM
from landscape.training.sam.random_perturbation import RandomPerturbation
from landscape.training.sam.sam import SAM

__all__ = ["SAM", "FriendlySAM", "RandomPerturbation"]
