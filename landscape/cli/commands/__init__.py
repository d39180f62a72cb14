"""One module per command: options in, measurements, tables out."""
