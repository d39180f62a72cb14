"""What the commands run: load, identify, resume, measure, store."""
