"""The examples of an objective: nested tensors, batches in a fixed order, and the forms that data come in."""
