"""Checks of options that the built-in models share."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from initsuite.errors import bad_value, check_whole_number, unknown_choice


def check_choice(where: str, name: str, value: object, choices: Collection[object]) -> None:
    """Refuse a word that is not in a list.

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


def check_sizes(where: str, **sizes: object) -> None:
    """Refuse sizes that are no whole numbers from 1."""
    for name, value in sizes.items():
        check_whole_number(where, name, value)


def check_input_shape(where: str, input_shape: Sequence[int]) -> None:
    """Refuse a shape of one example that is not made of whole numbers from 1."""
    for size in input_shape:
        check_whole_number(where, "input_shape", size)


def check_images(where: str, input_shape: Sequence[int]) -> None:
    """Refuse inputs that are no images.

    Example:
        >>> check_images("Cnn", (64,))
        Traceback (most recent call last):
        initsuite.errors.ConfigError: Cnn: bad value `input_shape`=(64,). Expected [channel, height, width]. Use ...
    """
    if len(input_shape) != 3:
        fix = "Use model=mlp for inputs that are no images."
        raise bad_value(where, "input_shape", tuple(input_shape), "[channel, height, width]", fix)
    check_input_shape(where, input_shape)
