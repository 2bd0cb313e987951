"""How wide a stack is when the user does not say."""

from __future__ import annotations

import torch
from torch import nn

from initsuite.engine.workload import Workload

MAX_WIDTH = 128
"""Trials a stack; wider ones gain nothing on a CPU and store their results later."""
STATE_BYTES = 1 << 30
"""Memory for parameters, gradients and optimizer state of a stack."""
COPIES = 6
"""Parameters, gradients, at most two optimizer moments, old and new values during an update."""


def default_width(workload: Workload, device: torch.device) -> int:
    """Trials a stack for this workload.

    On a CPU, convolutions gain nothing from stacking (`vmap` turns them into grouped convolutions, which take up to
    1.7 times as long a trial at width 8), so they train one by one; everything else stacks up to `MAX_WIDTH`.
    """
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    if device.type == "cpu" and any(isinstance(module, convolutions) for module in workload.model.modules()):
        return 1
    bytes_a_trial = 4 * COPIES * sum(parameter.numel() for parameter in workload.model.parameters())
    return max(1, min(MAX_WIDTH, STATE_BYTES // bytes_a_trial))
