"""Residual branches as modules, so that `describe` can see which layer closes one."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Branch(nn.Sequential):
    """The layers of one residual branch in the order of use; what it returns is added to its input, or to a shortcut.

    `describe` marks the last layer with weights in it as the one that closes the branch (`closes_residual`).
    """


class Residual(nn.Module):
    """alpha shortcut(x) + branch_scale branch(x).

    inputs: any shape that the branch takes. Returns the shape of the branch's output.

    Args:
        branch: see `Branch`.
        shortcut: what takes the input to the shape of the branch's output; None = the input itself.
        alpha: a constant factor on the shortcut.
        branch_scale: whether the branch has a trainable factor, a bare parameter [1] of that name that starts at 1.

    References:
        De and Smith 2020, Batch normalization biases residual blocks towards the identity function in deep networks,
        section 4 (SkipInit: the factor). Wang et al. 2022, DeepNet: scaling transformers to 1,000 layers (alpha).
    """

    branch_scale: Tensor | None

    def __init__(
        self, branch: Branch, shortcut: nn.Module | None = None, *, alpha: float = 1.0, branch_scale: bool = False
    ) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = nn.Identity() if shortcut is None else shortcut
        self.alpha = alpha
        self.register_parameter("branch_scale", nn.Parameter(torch.ones(1)) if branch_scale else None)

    def forward(self, inputs: Tensor) -> Tensor:
        kept, added = self.shortcut(inputs), self.branch(inputs)
        if self.alpha != 1:
            kept = self.alpha * kept
        if self.branch_scale is not None:
            added = self.branch_scale * added
        return kept + added

    def extra_repr(self) -> str:
        return f"alpha={self.alpha:.4g}, branch_scale={self.branch_scale is not None}"
