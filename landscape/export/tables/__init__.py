"""Results as CSV tables and NumPy archives."""
