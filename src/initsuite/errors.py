"""Errors that say where, what, got, expected and how to fix it; and the doors, which print them."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import inspect
import math
import numbers
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from initsuite.wording import OWN, known_as


class InitsuiteError(Exception):
    """Base of every error that a user can fix. The doors print it as one block, without a traceback."""


class ConfigError(InitsuiteError, ValueError):
    """A configuration that cannot be trained. Raised before the first step."""


class DataError(InitsuiteError):
    """A data file that is missing, damaged or of an unexpected kind."""


class StoreError(InitsuiteError):
    """A results store that cannot be read or written."""


class ClusterError(InitsuiteError):
    """Machines of a cluster that cannot be reached, or that ended before the work did."""


class TrialsFailed(InitsuiteError):
    """Some trials raised. Everything else is stored, and so are their tracebacks."""


@contextlib.contextmanager
def exits_are_errors() -> Iterator[None]:
    """In code of others, `sys.exit` is an error like any other: it fails a trial, and ends no launch.

    Raises:
        RuntimeError: in place of a SystemExit.
    """
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"SystemExit({error.code!r}): the code ends Python") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, CUDA or the CPU allocator, whose error is a plain RuntimeError, lacked memory."""
    is_allocator = isinstance(error, RuntimeError) and re.search("can't allocate memory|not enough memory", str(error))
    is_of_a_gpu = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)  # torch's: it is not loaded
    return bool(is_allocator) or is_of_a_gpu or isinstance(error, MemoryError)


def bad_value(where: str, name: str, got: object, expected: str, fix: str = "") -> ConfigError:
    """The error for a value outside its range.

    Example:
        >>> print(bad_value("Sgd", "lr", -1, "a number above 0"))
        Sgd: bad value `lr`=-1. Expected a number above 0.
    """
    return ConfigError(f"{where}: bad value `{name}`={got!r}. Expected {expected}.{' ' + fix if fix else ''}")


MANY = 8
"""More choices than this are not listed where the right one is known."""


def unknown_choice(where: str, name: str, got: object, choices: Iterable[str], fix: str = "") -> ConfigError:
    """The error for a name that is not in a list; says what it is called here, or suggests the nearest one.

    Example:
        >>> print(unknown_choice("VarianceScaling", "fan", "fanin", ["fan_in", "fan_out"]))
        VarianceScaling: unknown `fan`='fanin'. Expected one of: fan_in, fan_out. Did you mean `fan_in`?
        >>> print(unknown_choice("config", "init", "kaiming", ["he", "xavier", "zero"]))
        config: unknown `init`='kaiming'. Expected one of: he, xavier, zero. Did you mean `he`?
    """
    choices = list(choices)
    here = "" if fix else known_as(str(got), choices)
    if here and len(choices) > MANY:
        what = f"{where}: unknown `{name}`={got!r}."
        if here == OWN:
            return ConfigError(
                f"{what} It does not come with this suite. Expected one of: {', '.join(choices)}. "
                f"Bring your own: {name}={OWN} {name}._target_=mypkg.mine"
            )
        return ConfigError(f"{what} Expected its name here. Did you mean `{here}`?")
    near = [here] if here else difflib.get_close_matches(str(got), choices, n=1)
    hint = fix or (f"Did you mean `{near[0]}`?" if near else "")
    expected = f"one of: {', '.join(choices)}" if choices else "none"
    return ConfigError(f"{where}: unknown `{name}`={got!r}. Expected {expected}. {hint}".rstrip())


def bad_file(where: str, path: object, got: object, expected: str, fix: str = "") -> DataError:
    """The error for a data file that is damaged or of another kind.

    Example:
        >>> print(bad_file("read_idx", "t10k-images-idx3-ubyte", "12 bytes", "100 bytes", "Fetch it again."))
        read_idx: bad file `t10k-images-idx3-ubyte`: 12 bytes. Expected 100 bytes. Fetch it again.
    """
    return DataError(f"{where}: bad file `{path}`: {got}. Expected {expected}.{' ' + fix if fix else ''}")


def check_number(
    where: str, name: str, value: object, *, minimum: float | None = None, above: float | None = None, fix: str = ""
) -> None:
    """Refuse anything but a finite number in its range; True and False are not numbers.

    Example:
        >>> check_number("Normal", "std", -1.0, minimum=0)
        Traceback (most recent call last):
        initsuite.errors.ConfigError: Normal: bad value `std`=-1.0. Expected a finite number from 0.
    """
    number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan
    too_low = (minimum is not None and number < minimum) or (above is not None and number <= above)
    if too_low or not math.isfinite(number):
        limit = f" from {minimum:g}" if minimum is not None else f" above {above:g}" if above is not None else ""
        raise bad_value(where, name, value, f"a finite number{limit}", fix)


def check_whole_number(where: str, name: str, value: object, *, minimum: int | None = 1, fix: str = "") -> None:
    """Refuse anything but a whole number from `minimum`, any with None; True and False are not numbers.

    Example:
        >>> check_whole_number("Mlp", "width", 0)
        Traceback (most recent call last):
        initsuite.errors.ConfigError: Mlp: bad value `width`=0. Expected a whole number from 1.
    """
    number = int(value) if isinstance(value, numbers.Integral) and not isinstance(value, bool) else None
    if number is None or (minimum is not None and number < minimum):
        limit = "" if minimum is None else f" from {minimum}"
        raise bad_value(where, name, value, f"a whole number{limit}", fix)


def as_overrides(options: Mapping[str, object]) -> str:
    """Options as the command line takes them.

    Example:
        >>> as_overrides({"model.norm": "none", "model.fixup": True})
        'model.norm=none model.fixup=true'
    """
    return " ".join(f"{key}={written(value)}" for key, value in options.items())


def written(value: object) -> str:
    """A value as Hydra's command line takes it.

    Example:
        >>> written([0.1, 1.0]), written(None), written(True), written("a b"), written("1e3")
        ('[0.1,1.0]', 'null', 'true', "'a b'", "'1e3'")
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(written(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and not _reads_as_text(value):
        return "'" + re.sub(r"(\\*)'", r"\1\1\\'", value) + "'"
    return str(value)


def _reads_as_text(value: str) -> bool:
    """Whether Hydra takes it as text without quotes."""
    with contextlib.suppress(ValueError):
        float(value)
        return False
    return bool(re.fullmatch(r"[\w.+-]+", value)) and value.lower() not in ("null", "true", "false")


def callers_level() -> int:
    """The `stacklevel` that points a warning of the caller to the first line outside this package."""
    package = f"{Path(__file__).parent}{os.sep}"
    level, frame = 1, inspect.currentframe()
    frame = frame and frame.f_back  # the caller
    while frame and frame.f_code.co_filename.startswith((package, contextlib.__file__)):
        level, frame = level + 1, frame.f_back
    return level


def door_parser(command: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The parser of a door, whose help shows `command` as it was typed."""
    typed = as_typed(command)
    return argparse.ArgumentParser(
        prog=typed,
        description=description,
        epilog=epilog.replace(command, typed),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run_door(
    parser: argparse.ArgumentParser,
    action: Callable[[argparse.Namespace], int | None],
    arguments: Sequence[str] | None = None,
    *,
    going_on: str = "To go on",
) -> int:
    """Parse a command line and run its action.

    Args:
        parser: parser of the command line.
        action: what the door does with the options; returns its own exit code, None = 0.
        arguments: None = those of the process, for which SIGTERM then means Ctrl-C (in the main thread).
        going_on: what to print before the command that continues after Ctrl-C.

    Returns:
        The exit code: that of `action`, 2 after an error that the user can fix, 130 after Ctrl-C, 141 if nobody reads
        the output to its end.
    """
    options = _parsed(parser, arguments)
    if arguments is None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # how a cluster says Ctrl-C
    try:
        code = action(options) or 0
    except InitsuiteError as error:
        print(error, file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = say_interrupted(parser.prog, sys.argv[1:] if arguments is None else arguments, going_on)
    except BrokenPipeError:  # whoever reads the output, `head` for example, has seen enough
        code = _leave_pipe()
    return code


def _leave_pipe() -> int:
    """Print no more, not even at exit; returns the code that the shell gives to a program in this place."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13


def end_without_threads(code: int) -> NoReturn:
    """End the process although threads may be waiting for a server that never answers."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def say_interrupted(command: str, arguments: Sequence[str], going_on: str) -> int:
    """Say how to continue after Ctrl-C; returns the exit code."""
    print(f"\nInterrupted. {going_on}: {as_typed(command)} {shlex.join(arguments)}".rstrip(), file=sys.stderr)
    return 130


def _parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was given, its positional arguments before, between and after the options, where the parser can do that."""
    try:
        return parser.parse_intermixed_args(arguments)
    except TypeError:  # it has commands of its own
        return parser.parse_args(arguments)


def as_typed(command: str) -> str:
    """`python -m initsuite.NAME`, or what `initsuite.__main__` has written into `sys.argv`."""
    return sys.argv[0] if sys.argv[0].startswith(("initsuite ", "python -m initsuite ")) else command
