"""From conf and the command line to jobs, resolved once."""
