"""A launch: from jobs to stored results."""
