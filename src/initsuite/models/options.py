"""What the built-in models share: checks of their options, and how they are named and put together."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence

from torch import nn

from initsuite.errors import bad_value, check_whole_number, unknown_choice


def check_choice(where: str, name: str, value: object, choices: Collection[object]) -> None:
    """Refuse a value that is not in a list.

    Example:
        >>> check_choice("Cnn", "norm", "layer", ("none", "batch"))
        Traceback (most recent call last):
        initsuite.errors.ConfigError: Cnn: unknown `norm`='layer'. Expected one of: none, batch.
    """
    if value not in choices:
        raise unknown_choice(where, name, value, map(str, choices))


def check_switch(where: str, **switches: object) -> None:
    """Refuse what is not true or false.

    Example:
        >>> check_switch("ResNet", fixup="yes")
        Traceback (most recent call last):
        initsuite.errors.ConfigError: ResNet: bad value `fixup`='yes'. Expected true or false.
    """
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise bad_value(where, name, value, "true or false")


def check_sizes(where: str, input_shape: Sequence[int] = (), **sizes: object) -> None:
    """Refuse sizes that are not whole numbers from 1."""
    check_each(where, "input_shape", input_shape)
    for name, value in sizes.items():
        check_whole_number(where, name, value)


def check_list(where: str, name: str, values: object, expected: str, example: str, *, minimum: int = 1) -> None:
    """Refuse what is not a list of whole numbers from 1, or has fewer than `minimum` of them.

    Example:
        >>> check_list("Mlp", "widths", 64, "a list with the units of each hidden layer", "model.widths=[128,64]")
        Traceback (most recent call last):
        initsuite.errors.ConfigError: Mlp: bad value `widths`=64. Expected a list with the units of each hidden layer...
    """
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) < minimum:
        raise bad_value(where, name, values, expected, f"Example: {example}")
    check_each(where, name, values)


def check_each(where: str, name: str, values: Sequence[object]) -> None:
    """Refuse a list with entries that are not whole numbers from 1."""
    for value in values:
        check_whole_number(where, name, value)


def check_images(where: str, input_shape: Sequence[int], **sizes: object) -> None:
    """Refuse inputs that are not images, and sizes as `check_sizes` does.

    Example:
        >>> check_images("Cnn", (64,))
        Traceback (most recent call last):
        initsuite.errors.ConfigError: Cnn: bad value `input_shape`=(64,). Expected [channel, height, width]. Use ...
    """
    if len(input_shape) != 3:
        fix = "Use model=mlp for inputs that are not images."
        raise bad_value(where, "input_shape", tuple(input_shape), "[channel, height, width]", fix)
    check_sizes(where, input_shape, **sizes)


def make_label(usual: str, unusual: Mapping[str, bool]) -> str:
    """The name of a model in tables: what it always says, then the words that hold for this one.

    Example:
        >>> make_label("resnet-20", {"w32": True, "fixup": False})
        'resnet-20-w32'
    """
    return "-".join([usual, *(word for word, holds in unusual.items() if holds)])


def in_order(**layers: nn.Module | None) -> OrderedDict[str, nn.Module]:
    """Layers by name as nn.Sequential takes them; None stands for one that is left out."""
    return OrderedDict((name, layer) for name, layer in layers.items() if layer is not None)
