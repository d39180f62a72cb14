"""Sharpness analysis and loss-landscape visualization of neural networks."""

__version__ = "0.1.0"
