"""The door: initsuite prescribe."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from initsuite.apply.examine import cells_of, check_all, composed_of
from initsuite.errors import check_whole_number, door_parser, run_door

if TYPE_CHECKING:
    from initsuite.apply.prescription import Prescription
    from initsuite.config.compose.resolve import Composed

_DESCRIPTION = """\
Which initializer to start a network with, without training: every initializer that fits is
measured by a few forward and backward passes on training examples, and ranked by what was
found to predict training. How well that works is measured, and printed with the answer.
"""
_EPILOG = """\
examples:
  initsuite prescribe                                      for the default network
  initsuite prescribe model=mlp model.depth=30 activation=tanh
  initsuite prescribe model=cnn init=he,orthogonal,lsuv    of these three
  initsuite prescribe activation=relu,tanh --by score      for each of two networks, by test score
  initsuite prescribe model=vit --json

KEY=VALUE are the keys of initsuite train. For your own model in Python: initsuite.prescribe(model, example).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the prescription; returns the exit code, as `run_door` does."""
    return run_door(_parser(), _print, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = door_parser("initsuite prescribe", _DESCRIPTION, _EPILOG)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE",
                        help="the network, its data and, if not all, the initializers")  # fmt: skip
    parser.add_argument("--by", default="speed", metavar="WHAT",
                        help="what it is to be good for: speed or score (default: speed)")  # fmt: skip
    parser.add_argument("--draws", type=int, default=4, metavar="N", help="draws of each, from 2 (default: 4)")
    parser.add_argument("--examples", type=int, default=64, metavar="N", help="examples in the batch (default: 64)")
    parser.add_argument("--json", action="store_true",
                        help="answer and table as JSON, a list with one object per network")  # fmt: skip
    return parser


def _print(options: argparse.Namespace) -> None:
    check_whole_number("prescribe", "draws", options.draws, minimum=2)
    check_whole_number("prescribe", "examples", options.examples)
    found = _prescriptions(options)
    if options.json:
        print(f"[{', '.join(each.to_json() for each in found)}]")
        return
    for number, each in enumerate(found):
        print("\n\n" * (number > 0) + str(each), flush=True)


def _prescriptions(options: argparse.Namespace) -> Iterator[Prescription]:
    """One for each network."""
    from initsuite.apply.cells import prescription_of_cells
    from initsuite.config import catalogue

    chosen = [each for each in options.overrides if _is_of_init(each)]
    others = [each for each in options.overrides if not _is_of_init(each)]
    wanted = chosen or [f"init={','.join(catalogue.names())}"]
    has_options = not all(each.startswith("init=") for each in chosen)
    to_train = [shlex.quote(each) for each in chosen] if has_options else ["init={listed}"]
    for network in dict.fromkeys(map(_without_init, composed_of(others, "prescribe"))):
        cells, illegal = cells_of(composed_of([*network, *wanted], "prescribe"))
        if chosen:
            check_all(illegal, "prescribe")
        yield prescription_of_cells(
            cells, options.draws, options.examples, by=options.by, is_optional=not chosen,
            refused={overrides.removeprefix("init="): reason for overrides, reason in illegal},
            to_train=" ".join(["initsuite train -m", *map(shlex.quote, network), *to_train]),
        )  # fmt: skip


def _without_init(composed: Composed) -> tuple[str, ...]:
    """The overrides of a combination but the initializer that an experiment sweeps."""
    return tuple(each for each in composed.overrides if not _is_of_init(each))


def _is_of_init(override: str) -> bool:
    """Whether it chooses an initializer or one of its options."""
    return override.lstrip("+").split("=")[0].split(".")[0] == "init"
