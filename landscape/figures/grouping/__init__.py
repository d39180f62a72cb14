"""Results that belong together: families, comparable settings, regions."""
