"""Mean-field numbers: gains, the edge of chaos, how a signal travels."""
