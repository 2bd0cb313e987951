"""Plain convolutional networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from initsuite.activations import ActivationLayer
from initsuite.errors import bad_value, check_whole_number
from initsuite.models.options import check_choice, check_each, check_images, check_list, make_label
from initsuite.spec import Activation


class Cnn(nn.Module):
    """Hidden layers of convolution, BatchNorm on request, and activation; then flatten and a linear head.

    inputs: [example, channel, height, width]. Returns [example, output]. Padding keeps the size of the image, which
    the stride then divides (rounded up). As in VGG: stride=1, and `pool` after every second layer, say.

    Args:
        activation: after every convolution.
        channels: output channels of each convolution, at least one.
        kernel_size: pixels on a side, odd.
        stride: pixels, from 1: one number, or a list with one for each convolution.
        padding: what lies beyond the edge: zeros, or circular: the opposite edge, so that every pixel is treated alike
            (the theory of orthogonal convolutions assumes it).
        pool: numbers of the layers, from 1, that a 2x2 max pooling follows; it halves the image (rounded down).
        norm: none, or batch: BatchNorm between each convolution and its activation.

    Raises:
        ConfigError: an option outside its range, inputs that are not images, or images too small for the padding or
            the pooling.

    References:
        Simonyan and Zisserman 2014, Very deep convolutional networks for large-scale image recognition, section 2.1.
        Xiao et al. 2018, Dynamical isometry and a mean field theory of CNNs, section 2.1 (circular padding).
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_outputs: int,
        activation: Activation,
        *,
        channels: Sequence[int] = (16, 32),
        kernel_size: int = 3,
        stride: int | Sequence[int] = 2,
        padding: str = "zeros",
        pool: Sequence[int] = (),
        norm: str = "none",
    ) -> None:
        super().__init__()
        check_images("Cnn", input_shape, num_outputs=num_outputs)
        _check_convolutions(channels, kernel_size, padding, norm)
        strides = _strides(stride, len(channels))
        _check_pool(pool, len(channels))
        self.layers = nn.Sequential()
        before, *image = input_shape
        for number, (after, step) in enumerate(zip(channels, strides, strict=True), start=1):
            _check_wrap(number, image, kernel_size, padding)
            pad: Any = padding  # torch's stub has a type for the names, which were checked
            convolution = nn.Conv2d(before, after, kernel_size, step, kernel_size // 2, padding_mode=pad)
            self.layers.add_module(f"conv{number}", convolution)
            if norm == "batch":
                self.layers.add_module(f"norm{number}", nn.BatchNorm2d(after))
            self.layers.add_module(f"activation{number}", ActivationLayer(activation))
            before, image = after, [-(-side // step) for side in image]
            if number in pool:
                image = _halved(number, image)
                self.layers.add_module(f"pool{number}", nn.MaxPool2d(2))
        self.layers.add_module("flatten", nn.Flatten())
        self.layers.add_module("head", nn.Linear(before * image[0] * image[1], num_outputs))
        steps = [stride] if isinstance(stride, int) else stride
        unusual = {
            f"k{kernel_size}": kernel_size != 3,
            f"s{'.'.join(map(str, steps))}": stride != 2,
            padding: padding != "zeros",
            f"p{'.'.join(map(str, pool))}": bool(pool),
            "bn": norm == "batch",
        }
        self.label = make_label("-".join(["cnn", *map(str, channels)]), unusual)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)


def _check_convolutions(channels: Sequence[int], kernel_size: int, padding: str, norm: str) -> None:
    expected = "a list with the output channels of each convolution"
    check_list("Cnn", "channels", channels, expected, "model.channels=[16,32]")
    check_whole_number("Cnn", "kernel_size", kernel_size)
    if kernel_size % 2 == 0:
        raise bad_value("Cnn", "kernel_size", kernel_size, "an odd whole number", "Example: model.kernel_size=3")
    check_choice("Cnn", "padding", padding, ("zeros", "circular"))
    check_choice("Cnn", "norm", norm, ("none", "batch"))


def _strides(stride: object, depth: int) -> list[int]:
    """The stride of each convolution."""
    if not isinstance(stride, Sequence) or isinstance(stride, str):
        check_whole_number("Cnn", "stride", stride)
        return [stride] * depth  # type: ignore[list-item]
    if len(stride) != depth:
        expected = f"one number, or a list with that of each of the {depth} convolutions"
        raise bad_value("Cnn", "stride", stride, expected, "Example: model.stride=[1,2] for two channels")
    check_each("Cnn", "stride", stride)
    return list(stride)


def _check_pool(pool: Sequence[int], depth: int) -> None:
    expected = "a list with the numbers of the layers that pooling follows"
    check_list("Cnn", "pool", pool, expected, "model.pool=[2,4]; [] for none", minimum=0)
    if max(pool, default=1) > depth:
        raise bad_value("Cnn", "pool", max(pool), f"the number of a layer, 1 to {depth}")


def _check_wrap(number: int, image: Sequence[int], kernel_size: int, padding: str) -> None:
    """Circular padding wraps around once at most."""
    if padding == "circular" and kernel_size // 2 > min(image):
        fix = "Use padding=zeros, or fewer strides and pools."
        expected = f"at most {2 * min(image) + 1}: layer {number} sees an image of {image[0]}x{image[1]} pixels"
        raise bad_value("Cnn", "kernel_size", kernel_size, expected, fix)


def _halved(number: int, image: Sequence[int]) -> list[int]:
    if min(image) < 2:
        expected = f"a layer after which two pixels or more are left; layer {number} leaves {image[0]}x{image[1]}"
        raise bad_value("Cnn", "pool", number, expected, "Use stride=1, or pool less often.")
    return [side // 2 for side in image]
