"""One colour and line style per initializer, the same in every figure and every report."""

from __future__ import annotations

import hashlib
from typing import Literal

# Okabe and Ito's colours, distinct under every common colour blindness; yellow is left out as too pale for a line.
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
"""Paul Tol's muted colours, for names without a colour of their own."""
LineStyle = Literal["-", "--", "-.", ":"]
_DASHES: tuple[LineStyle, ...] = ("--", "-.", ":")


def colour(name: str) -> str:
    """The colour of an initializer; that of an unknown name depends only on the name.

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


DARK_BACKGROUND = "#12161c"
"""The background of the page in dark mode; `page.css` has the same."""
LEAST_CONTRAST = 4.5
"""The least contrast between a colour and that background (WCAG 2.2, 1.4.3)."""


def on_dark(colour: str) -> str:
    """A colour mixed with as much white as it needs to be seen on the dark page.

    Example:
        >>> on_dark("#E69F00"), on_dark("#000000")
        ('#E69F00', '#F0F3F6')
    """
    channels = _channels(colour)
    if max(channels) < 40:  # black has no hue to keep: it becomes the text's colour, as on the light page
        return "#F0F3F6"
    for share in range(0, 101, 5):
        mixed = "#" + "".join(f"{round(channel + (255 - channel) * share / 100):02X}" for channel in channels)
        if contrast(mixed, DARK_BACKGROUND) >= LEAST_CONTRAST:
            return mixed
    return "#FFFFFF"


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG).

    Example:
        >>> contrast("#000000", "#FFFFFF")
        21.0
    """
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
