"""Objectives, directions, surfaces, curvature and sharpness of any `nn.Module`."""
