"""How fast the suite is, against the ways most people train such trials: python scripts/benchmark"""
