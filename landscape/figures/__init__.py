"""Figures: results in, Plotly figures and one self-contained HTML report out. Never loads torch."""
