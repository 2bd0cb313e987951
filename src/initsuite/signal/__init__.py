"""How a signal and its gradient travel through a model before any training: measured, beside theory, in words."""
