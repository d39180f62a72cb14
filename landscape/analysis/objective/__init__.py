"""The loss as a function of weights: model, data, BatchNorm folding, precision."""
