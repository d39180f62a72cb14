"""One Plotly figure per kind of result."""
