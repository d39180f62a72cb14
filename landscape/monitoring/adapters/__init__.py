"""The monitor in the training loops of other packages, which are imported when asked for."""
