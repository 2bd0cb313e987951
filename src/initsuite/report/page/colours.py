"""Colours on a dark page: the same hues, light enough to be seen."""

from __future__ import annotations

DARK_BACKGROUND = "#12161c"
"""Of the page in dark mode; `page.css` has the same."""
LEAST_CONTRAST = 4.5
"""Between a colour and that background (WCAG 2.2, 1.4.3)."""


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
        mixed = tuple(round(channel + (255 - channel) * share / 100) for channel in channels)
        if contrast(f"#{mixed[0]:02X}{mixed[1]:02X}{mixed[2]:02X}", DARK_BACKGROUND) >= LEAST_CONTRAST:
            return f"#{mixed[0]:02X}{mixed[1]:02X}{mixed[2]:02X}"
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
