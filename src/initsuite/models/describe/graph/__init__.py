"""What a recorded forward pass shows about a model."""
