"""Which trials share a stack, how wide it is, and where it trains."""
