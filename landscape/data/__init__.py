"""Data sets as tensors in memory: the embedded digits, downloads, image folders, `.npz` files, users' own factories."""

from landscape.data.dataset import Dataset, Normalization, Split
from landscape.data.load import load_dataset
from landscape.data.subset import hold_out, quota_subset, stratified_subset

__all__ = ["Dataset", "Normalization", "Split", "hold_out", "load_dataset", "quota_subset", "stratified_subset"]
