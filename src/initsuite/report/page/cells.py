"""Values as the page embeds them: plain JSON that no text of a configuration can break out of."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

DIGITS = 5
"""Significant digits of an embedded number: more than a screen shows."""
_ESCAPED = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}
"""Inside a script element the browser looks for `<` only; the rest is for readers that see the page as XML or text."""


def script_json(value: Any) -> str:
    """JSON for a script element, whatever the strings in it say.

    Example:
        >>> script_json({"name": "</script>", "score": float("nan")})
        '{"name":"\\\\u003c/script\\\\u003e","score":null}'
    """
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPED)


def short(value: Any, digits: int = DIGITS) -> float | int | None:
    """A number with this many significant digits; None for NaN, missing and infinite ones.

    Example:
        >>> short(0.123456789), short(120.0), short(-9996, 3), short(float("inf"))
        (0.12346, 120, -10000, None)
    """
    if value is None or not math.isfinite(value):
        return None
    found = float(f"{float(value):.{digits}g}")
    return int(found) if found.is_integer() and abs(found) < 1e15 else found


def shorts(values: Iterable[Any], digits: int = DIGITS) -> list[float | int | None]:
    return [short(value, digits) for value in values]


def plot_text(name: str) -> str:
    """A name for Plotly, which reads tags, entities and templates in its texts.

    Example:
        >>> plot_text("<b>%{x}</b>")
        '&lt;b&gt;%&#123;x}&lt;/b&gt;'
    """
    return html.escape(name, quote=False).replace("%{", "%&#123;")


def thinned(values: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the values, evenly spread, with the first and the last.

    Example:
        >>> thinned(range(10), 4)
        [0, 3, 6, 9]
    """
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]


def _plain(value: Any) -> Any:
    """The value in types that JSON has: NaN and infinities become null, numpy's numbers those of Python."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if hasattr(value, "item"):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
