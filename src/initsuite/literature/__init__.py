"""The claims of the literature on initialization, tested again: `initsuite claims`."""
