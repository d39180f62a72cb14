"""Colours, scales, bands and panels that every figure shares."""
