"""What Hydra composes for a job, without composing each job from the start."""
