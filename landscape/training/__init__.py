"""Training: recipes, SAM, and the loop that makes a checkpoint of a dataset and a configuration."""

from landscape.training.callbacks import EpochReport
from landscape.training.config.initial_weights import InitialWeights
from landscape.training.config.recipes import PAIRS, RECIPES, Recipe, ResolvedConfig, TrainConfig
from landscape.training.evaluation import LossAndAccuracy, evaluate
from landscape.training.loop import DivergedError, train
from landscape.training.pair import pair_members, resolve_pair, train_pair
from landscape.training.sam import SAM, FriendlySAM, RandomPerturbation
from landscape.training.settings import resolve

__all__ = [
    "PAIRS",
    "RECIPES",
    "SAM",
    "DivergedError",
    "EpochReport",
    "FriendlySAM",
    "InitialWeights",
    "LossAndAccuracy",
    "RandomPerturbation",
    "Recipe",
    "ResolvedConfig",
    "TrainConfig",
    "evaluate",
    "pair_members",
    "resolve",
    "resolve_pair",
    "train",
    "train_pair",
]
