"""Images of figures: PNG, SVG and PDF."""
