"""Training data on the device: datasets, shuffling, augmentation."""
