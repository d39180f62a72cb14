"""One self-contained HTML page of any mixture of results."""
