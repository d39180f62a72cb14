"""Training: recipes, SAM, and the loop that turns a data set and a configuration into a checkpoint."""

from landscape.training.divergence import DivergedError
from landscape.training.evaluation import Evaluation, evaluate
from landscape.training.loop import EpochReport, train
from landscape.training.pair import pair_members, train_pair
from landscape.training.recipes import PAIRS, RECIPES, Recipe, TrainConfig
from landscape.training.sam import SAM, RandomPerturbation
from landscape.training.settings import resolve

__all__ = [
    "PAIRS",
    "RECIPES",
    "SAM",
    "DivergedError",
    "EpochReport",
    "Evaluation",
    "RandomPerturbation",
    "Recipe",
    "TrainConfig",
    "evaluate",
    "pair_members",
    "resolve",
    "train",
    "train_pair",
]
