"""Launches on many machines: SLURM starts equal launches, Ray trains the stacks of one."""
