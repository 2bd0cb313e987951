"""A user's own model."""
