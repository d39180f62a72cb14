"""Training: recipes, SAM, and the loop that turns a data set and a configuration into a checkpoint."""

from landscape.training.evaluation import Evaluation, evaluate
from landscape.training.loop import EpochReport, train
from landscape.training.pair import pair_members, train_pair
from landscape.training.recipes import RECIPES, Recipe, TrainConfig
from landscape.training.sam import SAM
from landscape.training.settings import resolve

__all__ = [
    "RECIPES",
    "SAM",
    "EpochReport",
    "Evaluation",
    "Recipe",
    "TrainConfig",
    "evaluate",
    "pair_members",
    "resolve",
    "train",
    "train_pair",
]
