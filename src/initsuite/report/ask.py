"""The door: initsuite recommend."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from initsuite.errors import door_parser, run_door
from initsuite.report.answer import recommend
from initsuite.report.verdicts.across import RESULTS, SPEED
from initsuite.results.sources import load_results

_DESCRIPTION = """\
Which weight initializer to use for one network, and how sure that is, from stored
trials. Nothing is trained. An option that is left out means all that was tried.
"""
_EPILOG = """\
examples:
  initsuite recommend                                            over all that was tried
  initsuite recommend --model mlp --depth 30 --activation relu   for deep networks with relu
  initsuite recommend --model cnn --by score                     by final score, not by speed
  initsuite recommend --dataset digits --results my_results      from trials of your own
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the answer; returns the exit code, as `run_door` does."""
    return run_door(_parser(), _answer, arguments)


def _answer(options: argparse.Namespace) -> None:
    question = vars(options)
    source = question.pop("results")
    print(recommend(**question, results=load_results(source) if source else None))


def _parser() -> argparse.ArgumentParser:
    parser = door_parser("initsuite recommend", _DESCRIPTION, _EPILOG)
    parser.add_argument("--model", metavar="NAME", help="kind of network, such as mlp, cnn, rnn")
    parser.add_argument("--norm", metavar="NAME", help="none, batch, layer, pre, post")
    parser.add_argument("--activation", metavar="NAME", help="such as relu, tanh")
    parser.add_argument("--optimizer", metavar="NAME", help="such as sgd, adamw")
    parser.add_argument(
        "--depth", type=int, metavar="N", help="hidden layers; one that was not tried is answered by its neighbours"
    )
    parser.add_argument("--dataset", metavar="NAME", help="such as digits")
    parser.add_argument("--by", default=SPEED, metavar="|".join(RESULTS), help="what ranks (default: speed)")
    parser.add_argument("--results", metavar="DIR", help="a results store (default: the one shipped with initsuite)")
    return parser
