"""Residual convolutional networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.activations import ActivationLayer
from initsuite.errors import bad_value, check_whole_number
from initsuite.models.branch import Branch, Residual
from initsuite.models.options import check_choice, check_images, check_switch, in_order, make_label
from initsuite.spec import Activation


class ResNet(nn.Module):
    """The residual network for small images: a stem, three stages of blocks, mean over the pixels, a linear head.

    A block is phi(shortcut(x) + branch(x)), its branch conv 3x3, norm, phi, conv 3x3, norm. Stage k has n blocks of
    width 2^(k-1) channels; the second and third stage begin with stride 2. With the stem and the head these are
    6n + 2 layers with weights. Where a stage begins, the shortcut takes every second pixel and pads the new channels
    with zeros (option A of the paper): it has no weights.

    With `fixup` each branch has what Fixup needs of the model, and so do the stem and the head: scalar biases
    `bias1a`, `bias1b`, `bias2a`, `bias2b` before and after each convolution, which start at 0, and a scalar
    `multiplier` of the branch, which starts at 1. In the authors' code the shortcuts that subsample also add `bias1a`.

    inputs: [example, channel, height, width]. Returns [example, output].

    Args:
        activation: after the stem, within branches and after each addition.
        depth: layers with weights, 6n + 2: 8, 14, 20, 26, 32, ...
        width: channels of the first stage, from 1; the others have two and four times as many.
        norm: none, or batch: BatchNorm after each convolution. Without it convolutions have biases (except with fixup).
        fixup: scalar biases and multipliers; only with norm=none.
        branch_scale: a scalar factor of each branch (`Residual`); not with fixup, which has its own.

    Raises:
        ConfigError: an option outside its range, options that exclude each other, or inputs that are not images.

    References:
        He et al. 2015, Deep residual learning for image recognition, section 4.2. Zhang, Dauphin and Ma 2019, Fixup
        initialization, section 3. De and Smith 2020 (branch_scale).
    """

    bias1: Tensor | None
    bias2: Tensor | None

    def __init__(
        self,
        input_shape: Sequence[int],
        num_outputs: int,
        activation: Activation,
        *,
        depth: int = 20,
        width: int = 16,
        norm: str = "batch",
        fixup: bool = False,
        branch_scale: bool = False,
    ) -> None:
        super().__init__()
        check_images("ResNet", input_shape, num_outputs=num_outputs, width=width)
        _check_options(depth, norm, fixup, branch_scale)
        convolution = _convolution(input_shape[0], width, 1, has_bias=norm == "none" and not fixup)
        self.stem = nn.Sequential(in_order(conv=convolution, norm=_norm(norm, width)))
        self.register_parameter("bias1", nn.Parameter(torch.zeros(1)) if fixup else None)
        self.activation = ActivationLayer(activation)
        self.blocks = nn.Sequential()
        before = width
        for number in range(1, (depth - 2) // 2 + 1):
            stage, place = divmod(number - 1, (depth - 2) // 6)
            after, stride = width * 2**stage, 2 if stage > 0 and place == 0 else 1
            branch = _branch(before, after, stride, activation, norm, fixup)
            shortcut = PaddedShortcut(stride, after - before) if stride > 1 else None
            self.blocks.add_module(f"residual{number}", Residual(branch, shortcut, branch_scale=branch_scale))
            self.blocks.add_module(f"activation{number}", ActivationLayer(activation))
            before = after
        self.register_parameter("bias2", nn.Parameter(torch.zeros(1)) if fixup else None)
        self.head = nn.Linear(before, num_outputs)
        unusual = {f"w{width}": width != 16, "nonorm": norm == "none" and not fixup}
        self.label = make_label(f"resnet-{depth}", {**unusual, "fixup": fixup, "scaled": branch_scale})

    def forward(self, inputs: Tensor) -> Tensor:
        features = self.blocks(self.activation(_shifted(self.stem(inputs), self.bias1)))
        return self.head(_shifted(features.mean((-2, -1)), self.bias2))


class PaddedShortcut(nn.Module):
    """Every `stride`-th pixel, and `channels` new channels of zeros after the others.

    inputs: [example, channel, height, width]. Returns [example, channel + channels, ...], the image divided by stride.
    """

    def __init__(self, stride: int, channels: int) -> None:
        super().__init__()
        self.stride, self.channels = stride, channels

    def forward(self, inputs: Tensor) -> Tensor:
        kept = inputs[..., :: self.stride, :: self.stride]
        return functional.pad(kept, (0, 0, 0, 0, 0, self.channels))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, channels=+{self.channels}"


class FixupBranch(Branch):
    """multiplier conv2(phi(conv1(x + bias1a) + bias1b) + bias2a) + bias2b, with scalars as bare parameters [1]."""

    def __init__(self, conv1: nn.Module, activation1: nn.Module, conv2: nn.Module) -> None:
        super().__init__()
        self.conv1, self.activation1, self.conv2 = conv1, activation1, conv2
        self.bias1a, self.bias1b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.bias2a, self.bias2b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.multiplier = nn.Parameter(torch.ones(1))

    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        hidden = self.activation1(self.conv1(inputs + self.bias1a) + self.bias1b)
        return self.multiplier * self.conv2(hidden + self.bias2a) + self.bias2b


def _branch(before: int, after: int, stride: int, phi: Activation, norm: str, fixup: bool) -> Branch:
    has_bias = norm == "none" and not fixup
    first, last = _convolution(before, after, stride, has_bias), _convolution(after, after, 1, has_bias)
    layer, norm1, norm2 = ActivationLayer(phi), _norm(norm, after), _norm(norm, after)
    if fixup:
        return FixupBranch(first, layer, last)
    return Branch(in_order(conv1=first, norm1=norm1, activation1=layer, conv2=last, norm2=norm2))


def _convolution(before: int, after: int, stride: int, has_bias: bool) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride, padding=1, bias=has_bias)


def _norm(norm: str, channels: int) -> nn.Module | None:
    return nn.BatchNorm2d(channels) if norm == "batch" else None


def _shifted(values: Tensor, bias: Tensor | None) -> Tensor:
    return values if bias is None else values + bias


def _check_options(depth: int, norm: str, fixup: bool, branch_scale: bool) -> None:
    check_whole_number("ResNet", "depth", depth, minimum=8)
    if (depth - 2) % 6:
        below = depth - (depth - 2) % 6
        fix = f"The nearest are {below} and {below + 6}."
        raise bad_value("ResNet", "depth", depth, "6n + 2 layers: 8, 14, 20, 26, 32, ...", fix)
    check_choice("ResNet", "norm", norm, ("none", "batch"))
    check_switch("ResNet", fixup=fixup, branch_scale=branch_scale)
    if fixup and norm != "none":
        raise bad_value("ResNet", "norm", norm, "none, which is what fixup does without", "Set model.norm=none.")
    if fixup and branch_scale:
        fix = "Set model.branch_scale=false."
        raise bad_value("ResNet", "branch_scale", branch_scale, "false with fixup, which has its own", fix)
