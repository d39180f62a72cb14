"""Configuration of a training run: recipes, their settings by idea, initial weights, learning-rate schedules."""
