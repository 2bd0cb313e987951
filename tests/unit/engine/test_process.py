"""What training sets in its process."""

import os
import subprocess
import sys

import pytest
import torch

from initsuite.engine.process import for_training

DENORMAL = 1e-39


IN_THREADS = """
import torch
from initsuite.engine.process import for_training
tiny = torch.full((1 << 20,), 2e-39)
with for_training():
    flushed = not (tiny * 0.5).any()
raise SystemExit(0 if flushed and torch.get_num_threads() == 2 else 1)
"""


def test_numbers_that_are_almost_0_are_0_in_training_only() -> None:
    with for_training():
        assert float(torch.tensor(DENORMAL * 2) * 0.5) == 0
    assert float(torch.tensor(DENORMAL * 2) * 0.5) > 0


def test_they_are_0_in_all_threads() -> None:
    """In a fresh process: here another test may have started the threads. So long a tensor is shared between them."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    assert subprocess.run([sys.executable, "-c", IN_THREADS], env=environment).returncode == 0


def test_an_error_ends_it_too() -> None:
    with pytest.raises(RuntimeError, match="broken"), for_training():
        raise RuntimeError("broken")
    assert float(torch.tensor(DENORMAL * 2) * 0.5) > 0
