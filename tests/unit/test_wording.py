"""Sentences for people: singular and plural, lists, times and sizes, each at its edges."""

import subprocess
import sys

import pytest

from initsuite.wording import (
    first_line,
    format_bytes,
    format_count,
    format_counts,
    format_duration,
    format_first,
    format_names,
    format_range,
    last_line,
    plural,
)


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 trials"), (1, "1 trial"), (2, "2 trials"), (1200, "1200 trials")]
)
def test_only_one_is_singular(number: int, expected: str) -> None:
    assert format_count(number, "trial") == expected
    assert plural(float(number), "trial") == expected.split()[1]


def test_several_counts_are_one_when_they_agree() -> None:
    assert format_counts([3, 3], "seed") == "3 seeds"
    assert format_counts([1], "seed") == "1 seed"
    assert format_counts([3, 0, 1], "seed") == "0 to 3 seeds"
    assert format_counts([0, 1], "seed") == "0 to 1 seed"
    assert format_range(number for number in (4, 2)) == "2 to 4"


@pytest.mark.parametrize(
    ("names", "expected"), [([], ""), (["he"], "he"), (["he", "zero"], "he and zero"), (list("abc"), "a, b and c")]
)
def test_names_are_joined(names: list[str], expected: str) -> None:
    assert format_names(names) == expected


@pytest.mark.parametrize(
    ("most", "expected"), [(1, "a and 2 more"), (2, "a, b and 1 more"), (3, "a, b, c"), (9, "a, b, c")]
)
def test_what_is_not_named_is_counted(most: int, expected: str) -> None:
    assert format_first(["a", "b", "c"], most) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_a_time_is_rounded_before_it_is_split(seconds: float, expected: str) -> None:
    assert format_duration(seconds) == expected


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (2_500_000, "2.5 MB"), (3e9, "3 GB")]
)
def test_sizes(number: float, expected: str) -> None:
    assert format_bytes(number) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nValueError: no\n\n", "ValueError: no"),
        ("one", "one"),
        ("  \n", ""),
        ("", ""),
        (None, ""),
        (float("nan"), ""),
    ],
)
def test_the_last_line_of_a_traceback(text: object, expected: str) -> None:
    assert last_line(text) == expected


def test_the_first_line_of_an_error() -> None:
    assert first_line(ConnectionError("\n refused\nby the server")) == "ConnectionError: refused"
    assert first_line(ConnectionError(" ")) == "ConnectionError"


def test_words_need_neither_torch_nor_pandas() -> None:
    code = "import sys, initsuite.wording; sys.exit(bool({'torch', 'pandas', 'numpy'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
