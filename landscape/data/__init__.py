"""Data sets as tensors in memory: the embedded digits, downloads, image folders, `.npz` files, users' own factories."""

from landscape.data.dataset import Dataset, Normalization, Split
from landscape.data.load import load_dataset
from landscape.data.subset import stratified_subset

__all__ = ["Dataset", "Normalization", "Split", "load_dataset", "stratified_subset"]
