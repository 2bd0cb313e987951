"""Statistics of few seeds: numpy and scipy only, nothing of ours."""
