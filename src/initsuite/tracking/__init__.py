"""Weights & Biases: a view of the store that can be rebuilt from it."""
