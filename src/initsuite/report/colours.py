"""One colour and line style an initializer, the same in every figure and every report."""

from __future__ import annotations

import hashlib
from typing import Literal

# Okabe and Ito's colours, told apart with every common colour blindness; yellow is left out, it is too pale for a line.
_BLACK, _ORANGE, _SKY, _GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
_BLUE, _VERMILION, _PURPLE, _GREY = "#0072B2", "#D55E00", "#CC79A7", "#999999"

COLOURS = {
    "zero": _GREY,
    "normal": _ORANGE,
    "xavier": _BLUE,
    "he": _VERMILION,
    "orthogonal": _GREEN,
    "torch_default": _BLACK,
    "guideline": _PURPLE,
    "lecun": _SKY,
}
_OTHERS = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#882255", "#AA4499", "#661100")
"""Paul Tol's muted colours, for names that have none of their own."""
LineStyle = Literal["-", "--", "-.", ":"]
_DASHES: tuple[LineStyle, ...] = ("--", "-.", ":")


def colour(name: str) -> str:
    """The colour of an initializer; that of an unknown name depends on nothing but the name.

    Example:
        >>> colour("he")
        '#D55E00'
    """
    return COLOURS.get(name) or _OTHERS[_number(name) % len(_OTHERS)]


def line_style(name: str) -> LineStyle:
    """Solid for the names with a colour of their own, dashed for others, so that neighbours in colour differ."""
    return "-" if name in COLOURS else _DASHES[_number(name) // len(_OTHERS) % len(_DASHES)]


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big")
