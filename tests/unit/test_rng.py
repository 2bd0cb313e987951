"""Named streams, and code that draws from the global ones."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from initsuite import rng


def global_draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_isolated_draws_depend_on_the_name_alone() -> None:
    found = []
    for seed, purpose in ((0, "a"), (0, "a"), (1, "a"), (0, "b")):
        with rng.isolated(seed, purpose):
            found.append(global_draws())
        global_draws()
    assert found[0] == found[1]
    assert all(len({draws[stream] for draws in found}) == 3 for stream in range(3))


def test_isolated_draws_move_no_stream_outside() -> None:
    with rng.isolated(0, "test"):
        expected = global_draws()
    with rng.isolated(0, "test"):
        with pytest.raises(ZeroDivisionError), rng.isolated(3, "other"):
            int(global_draws()[0]) / 0
        assert global_draws() == expected


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_new_tensors_are_float32_on_the_cpu(device: str) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device(device):
            with rng.float32_on_cpu():
                inside = torch.zeros(1)
            outside = torch.zeros(1)
    finally:
        torch.set_default_dtype(torch.float32)
    assert (inside.dtype, inside.device.type) == (torch.float32, "cpu")
    assert (outside.dtype, outside.device.type) == (torch.float64, device)
