"""What the trials that count say."""
