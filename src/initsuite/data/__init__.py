"""Data sets that live in memory as tensors, their fixed splits and the order of their batches."""
