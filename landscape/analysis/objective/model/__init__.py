"""A private copy of a model as a function of its tensors: BatchNorm modes, folding, rounding, random numbers."""
