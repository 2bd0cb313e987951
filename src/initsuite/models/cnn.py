"""Plain convolutional networks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from initsuite.activations import ActivationLayer
from initsuite.errors import bad_value, check_whole_number
from initsuite.models.norm import check_norm
from initsuite.spec import Activation


class Cnn(nn.Module):
    """Hidden layers of convolution, BatchNorm on request, and activation; then flatten and a linear head.

    inputs: [example, channel, height, width]. Returns [example, output]. Padding keeps the size of the image, which
    the stride then divides.

    Args:
        input_shape: [channel, height, width] of one example.
        num_outputs: from 1.
        activation: after every convolution.
        channels: of each convolution's output, at least one.
        kernel_size: pixels on a side, odd.
        stride: pixels, of every convolution, from 1.
        norm: none, or batch: BatchNorm between each convolution and its activation.

    Raises:
        ConfigError: an option outside its range, or inputs that are no images.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_outputs: int,
        activation: Activation,
        *,
        channels: Sequence[int] = (16, 32),
        kernel_size: int = 3,
        stride: int = 2,
        norm: str = "none",
    ) -> None:
        super().__init__()
        _check_options(input_shape, num_outputs, channels, kernel_size, stride, norm)
        self.layers = nn.Sequential()
        before, height, width = input_shape
        for number, after in enumerate(channels, start=1):
            convolution = nn.Conv2d(before, after, kernel_size, stride, padding=kernel_size // 2)
            self.layers.add_module(f"conv{number}", convolution)
            if norm == "batch":
                self.layers.add_module(f"norm{number}", nn.BatchNorm2d(after))
            self.layers.add_module(f"activation{number}", ActivationLayer(activation))
            before, height, width = after, -(-height // stride), -(-width // stride)
        self.layers.add_module("flatten", nn.Flatten())
        self.layers.add_module("head", nn.Linear(before * height * width, num_outputs))
        unusual = [f"k{kernel_size}"] * (kernel_size != 3) + [f"s{stride}"] * (stride != 2) + ["bn"] * (norm == "batch")
        self._label = "-".join(["cnn", *map(str, channels), *unusual])

    @property
    def label(self) -> str:
        """The model in a word: `cnn-16-32`, `cnn-16-32-bn`, `cnn-16-32-k5-s1`."""
        return self._label

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)


def _check_options(
    input_shape: Sequence[int], num_outputs: int, channels: Sequence[int], kernel_size: int, stride: int, norm: str
) -> None:
    if len(input_shape) != 3:
        fix = "Use model=mlp for inputs that are no images."
        raise bad_value("Cnn", "input_shape", tuple(input_shape), "[channel, height, width]", fix)
    if isinstance(channels, str) or not isinstance(channels, Sequence) or not channels:
        expected = "a list with the output channels of each convolution"
        raise bad_value("Cnn", "channels", channels, expected, "Example: model.channels=[16,32]")
    for name, values in (("input_shape", input_shape), ("channels", channels)):
        for value in values:
            check_whole_number("Cnn", name, value)
    for name, value in (("num_outputs", num_outputs), ("kernel_size", kernel_size), ("stride", stride)):
        check_whole_number("Cnn", name, value)
    if kernel_size % 2 == 0:
        raise bad_value("Cnn", "kernel_size", kernel_size, "an odd whole number", "Example: model.kernel_size=3")
    check_norm("Cnn", norm)
