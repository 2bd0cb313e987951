"""Statistics for few seeds: numpy and scipy only, nothing of ours."""
