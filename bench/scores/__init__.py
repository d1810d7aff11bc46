"""Pure functions that score explanations."""
