"""Which trials count, and under which heading."""
