"""Counts, names, times, sizes and errors in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def plural(number: float, what: str) -> str:
    """A noun, as it follows a number."""
    return what if number == 1 else f"{what}s"


def format_count(number: int, what: str) -> str:
    """`1 seed`, `6 seeds`."""
    return f"{number} {plural(number, what)}"


def format_range(numbers: Iterable[int]) -> str:
    """From the lowest to the highest: `6 to 10`, or `6` if all agree."""
    found = sorted({int(number) for number in numbers})
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def format_counts(numbers: Iterable[int], what: str) -> str:
    """A range with its noun: `6 to 10 seeds`."""
    numbers = list(numbers)
    return f"{format_range(numbers)} {plural(max(numbers), what)}"


def format_names(names: Sequence[str]) -> str:
    """`he, xavier and zero`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def format_first(names: Sequence[str], most: int) -> str:
    """The first `most` names, and how many are left: `he, xavier and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def format_duration(seconds: float) -> str:
    """In the two largest units: `8 s`, `1 min 00 s`, `3 h 02 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def format_bytes(number: float) -> str:
    """In powers of 1,000: `20.5 kB`."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def last_line(text: object) -> str:
    """The last line of a traceback; "" if there is no text."""
    lines = text.strip().splitlines() if isinstance(text, str) else []
    return lines[-1].strip() if lines else ""


def first_line(error: Exception) -> str:
    """The type of an error and the first line of its message."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
