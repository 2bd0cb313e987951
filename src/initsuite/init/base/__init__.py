"""What laws are made of."""
