"""Recipes that train models, and what a trained model offers."""
