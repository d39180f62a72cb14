"""Training data on the device: resident images, shuffling, augmentation."""
