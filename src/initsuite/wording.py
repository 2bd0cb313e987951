"""Counts, names, durations and errors as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def plural(number: float, what: str) -> str:
    """A noun after a number.

    Example:
        >>> plural(1, "seed"), plural(0, "scoring seed")
        ('seed', 'scoring seeds')
    """
    return what if number == 1 else f"{what}s"


def format_count(number: int, what: str) -> str:
    """How many there are.

    Example:
        >>> format_count(1, "seed"), format_count(6, "scoring seed")
        ('1 seed', '6 scoring seeds')
    """
    return f"{number} {plural(number, what)}"


def format_range(numbers: Iterable[int]) -> str:
    """From the least to the most.

    Example:
        >>> format_range([10, 6, 6]), format_range([1, 1])
        ('6 to 10', '1')
    """
    found = sorted({int(number) for number in numbers})
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def format_counts(numbers: Iterable[int], what: str) -> str:
    """How many there are of each, from the least to the most.

    Example:
        >>> format_counts([10, 6, 6], "seed"), format_counts([1, 1], "seed")
        ('6 to 10 seeds', '1 seed')
    """
    numbers = list(numbers)
    return f"{format_range(numbers)} {plural(max(numbers), what)}"


def format_names(names: Sequence[str]) -> str:
    """A list as a person writes it.

    Example:
        >>> format_names(["he", "xavier", "zero"])
        'he, xavier and zero'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def format_first(names: Sequence[str], most: int) -> str:
    """The first few names, and how many more there are.

    Example:
        >>> format_first(["he", "xavier", "zero"], 2), format_first(["he", "xavier", "zero"], 3)
        ('he, xavier and 1 more', 'he, xavier, zero')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def format_duration(seconds: float) -> str:
    """A time in its two largest units.

    Example:
        >>> format_duration(59.6), format_duration(8.2), format_duration(3 * 3600 + 125)
        ('1 min 00 s', '8 s', '3 h 02 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def format_bytes(number: float) -> str:
    """A size, in powers of 1,000.

    Example:
        >>> format_bytes(999), format_bytes(20_480), format_bytes(3.2e12)
        ('999 B', '20.5 kB', '3.2e+03 GB')
    """
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def last_line(text: object) -> str:
    """What a traceback ends with; "" where there is no text.

    Example:
        >>> last_line("Traceback (most recent call last):\\n  ...\\nValueError: no\\n"), last_line(None)
        ('ValueError: no', '')
    """
    lines = text.strip().splitlines() if isinstance(text, str) else []
    return lines[-1].strip() if lines else ""


def first_line(error: Exception) -> str:
    """An error with its kind, in one line.

    Example:
        >>> first_line(ValueError("no\\nbecause")), first_line(TimeoutError())
        ('ValueError: no', 'TimeoutError')
    """
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
