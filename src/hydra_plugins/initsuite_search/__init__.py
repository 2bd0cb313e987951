"""A sweeper that searches: `hydra/sweeper=search`."""
