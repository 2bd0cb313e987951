"""The door: initsuite diagnose."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from initsuite.errors import ConfigError, bad_value, check_whole_number, door_parser, run_door

if TYPE_CHECKING:
    from initsuite.apply.pictures import Pictured
    from initsuite.config.compose.resolve import Composed
    from initsuite.engine.workload import Cell

_DESCRIPTION = """\
What a network is like before its first step: whether the signal and its gradient reach
the other end, layer by layer, beside what theory expects; in words, from a few forward
and backward passes on training examples. Nothing is trained.
"""
_EPILOG = """\
examples:
  initsuite diagnose                                       the default network, with He's law
  initsuite diagnose model=mlp model.depth=30 init=xavier
  initsuite diagnose init=he,xavier activation=tanh        one after the other
  initsuite diagnose model=transformer dataset=text init=gpt2 --json
  initsuite diagnose model.depth=30 init=he,xavier --out pictures

KEY=VALUE are the keys of initsuite train. For your own model in Python: initsuite.diagnose(model, example).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the diagnosis; returns the exit code, as `run_door` does."""
    return run_door(_parser(), _print, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = door_parser("initsuite diagnose", _DESCRIPTION, _EPILOG)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="the network, its data and the initializer")
    parser.add_argument("--draws", type=int, default=8, metavar="N", help="draws of the weights (default: 8)")
    parser.add_argument("--examples", type=int, default=64, metavar="N", help="examples in the batch (default: 64)")
    parser.add_argument("--jacobian", action="store_true",
                        help="singular values of the input-output Jacobian: up to 512 backward passes")  # fmt: skip
    parser.add_argument("--curvature", action="store_true",
                        help="largest eigenvalue of the Hessian of the loss: up to 200 passes")  # fmt: skip
    parser.add_argument("--out", metavar="DIR",
                        help="write picture, JSON and tables into DIR; several networks: a folder each")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="all tables as JSON, a list with one object per network")
    return parser


def _print(options: argparse.Namespace) -> None:
    check_whole_number("diagnose", "draws", options.draws)
    check_whole_number("diagnose", "examples", options.examples)
    cells, illegal = cells_of(composed_of(options.overrides, "diagnose"))
    check_all(illegal, "diagnose")
    found = (_diagnosed(cell, options) for cell in cells)
    if options.json:
        print(f"[{', '.join(each.to_json() for each in _saved(found, cells, options.out))}]")
        return
    for number, each in enumerate(_saved(found, cells, options.out)):
        print("\n" * (number > 0) + str(each), flush=True)
    if options.out:
        print(f"\nWritten: {options.out}")


def _saved(found: Iterable[Pictured], cells: Sequence[Cell], out: str | None) -> Iterator[Pictured]:
    """The diagnoses, each in its folder."""
    for number, each in enumerate(found):
        if out:
            name = "-".join(value for key, value in cells[number].axes.items() if key != "optimizer")
            each.save(Path(out) / f"{number + 1}-{_file_name(name)}" if len(cells) > 1 else Path(out))
        yield each


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.=-]+", "_", text)


def composed_of(overrides: Sequence[str], where: str) -> list[Composed]:
    """Every combination of the keys of a command.

    Raises:
        ConfigError: what is no key, or a choice that does not exist.
    """
    from initsuite.config.sweep import compose_sweep
    from initsuite.train.__main__ import explained

    for each in overrides:
        if "=" not in each:
            raise bad_value(where, "override", each, "KEY=VALUE", "Example: model.depth=30")
    with explained():
        return compose_sweep(overrides)


def cells_of(composed: Sequence[Composed]) -> tuple[list[Cell], list[tuple[str, str]]]:
    """The cells of combinations, and why others make none, as `Built.illegal`.

    Raises:
        ConfigError: none of them can be built.
    """
    from initsuite.config.build import Builder
    from initsuite.config.sweep import build_jobs
    from initsuite.train.__main__ import explained

    with explained():
        built = build_jobs(composed, Builder())
    return [job.cell for job in built.jobs], built.illegal


def check_all(illegal: Sequence[tuple[str, str]], where: str) -> None:
    """Refuse combinations that were asked for and cannot be built.

    Raises:
        ConfigError: names the first.
    """
    if illegal:
        raise ConfigError(f"{where}: cannot build {illegal[0][0]}. {illegal[0][1]}")


def _diagnosed(cell: Cell, options: argparse.Namespace) -> Pictured:
    from initsuite.apply.cells import diagnosis_of_cell

    return diagnosis_of_cell(
        cell, options.draws, options.examples, jacobian=options.jacobian, curvature=options.curvature
    )
