"""Training: trials of one workload and one optimizer kind, as one stacked program."""
