"""The store: what was measured, kept and read back."""
