"""The door: initsuite results check."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from initsuite.errors import bad_value, check_number, check_whole_number, door_parser, run_door, unknown_choice
from initsuite.wording import format_count, format_first

if TYPE_CHECKING:
    import pandas as pd

    from initsuite.literature.contribution.numbers import Allowed, Rerun
    from initsuite.literature.contribution.reading import Contribution

KEYS = ("k", "seed", "tolerance")
_DESCRIPTION = """\
Check a claim or an initializer of one's own before it is accepted: a folder with the law, the YAML and the Parquet
rows. Every id is made again from what is stored, every number is read off its curve again, and k random trials are
trained again, with the stacks that they were in. The code in FOLDER is run: read it first.
"""
_EPILOG = """\
FOLDER:
  claim.yaml               a claim, as conf/claim has them; not needed for an initializer alone
  *.py                     the law, and any other module that the rows name
  trials/, curves/         as initsuite train results_dir=FOLDER, or initsuite claims run, wrote them
  starts/                  what a claim measured before the first step

keys:
  k=3                      how many trials, and how many draws of measured starts, are made again
  seed=0                   which ones
  tolerance=0.02           how far losses (relative) and scores may be apart; without it, the same bits are expected, or
                           0.05 where the rows name another version of torch or another device, or where trials of a
                           stack are missing

examples:
  initsuite results check my_claim
  initsuite results check reference@2026.12/he_depth k=1 seed=7

exit codes: 0 all is as stated, 1 something is not, 2 the folder could not be checked
"""


@dataclass(frozen=True)
class Choices:
    """How much is made again, and how near it must come; None = by the machine."""

    k: int = 3
    seed: int = 0
    tolerance: float | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the door; returns the exit code, as `run_door` does."""
    return run_door(_parser(), _act, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = door_parser("initsuite results check", _DESCRIPTION, _EPILOG)
    parser.add_argument("folder", metavar="FOLDER", help="the contribution, or a claim of a release")
    parser.add_argument("keys", nargs="*", metavar="KEY=VALUE", help="k, seed, tolerance")
    return parser


def _act(options: argparse.Namespace) -> int:
    choices = _choices(options.keys)
    from initsuite.literature.contribution.reading import importable, read_contribution
    from initsuite.results.sources import store_folder

    contribution = read_contribution(store_folder(options.folder))
    with importable(contribution.folder):
        problems = _checked(contribution, choices)
    _say_standing(contribution)
    print(f"\n{format_count(len(problems), 'problem')}:" if problems else "\nAll is as the rows state.")
    for problem in problems:
        print(f"- {problem}")
    return 1 if problems else 0


def _choices(words: Sequence[str]) -> Choices:
    given: dict[str, str] = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    for key in given:
        if key not in KEYS:
            raise unknown_choice("check", "key", key, KEYS)
    found: dict[str, Any] = {}
    for key, text in given.items():
        try:
            found[key] = float(text) if key == "tolerance" else int(text)
        except ValueError as error:
            raise bad_value("check", key, text, "a number") from error
    choices = Choices(**found)
    check_whole_number("check", "k", choices.k, minimum=0)
    check_whole_number("check", "seed", choices.seed, minimum=0)
    if choices.tolerance is not None:
        check_number("check", "tolerance", choices.tolerance, minimum=0)
    return choices


def _say(line: str) -> None:
    print(line, flush=True)


def _checked(contribution: Contribution, choices: Choices) -> list[str]:
    """Say what is there and what is done; what is wrong."""
    _say(f"{contribution.folder}: {contribution.claim.name if contribution.claim else 'no claim'}")
    if contribution.modules:
        _say(f"Own code, which is run: {', '.join(f'{name}.py' for name in contribution.modules)}")
    problems = []
    if len(contribution.results.trials):
        problems += _check_trials(contribution, choices)
    if contribution.starts:
        problems += _check_starts(contribution, choices)
    return problems


def _check_trials(contribution: Contribution, choices: Choices) -> list[str]:
    from initsuite.config.build import Builder  # late, with torch: no help page waits for it
    from initsuite.literature.contribution import cells as checks
    from initsuite.literature.contribution.numbers import derived_problems, rerun_trials

    trials, curves = contribution.results.trials, contribution.results.curves
    for line in _counts(trials):
        _say(line)
    _say("Making every cell again ...")
    cells, problems = checks.cells_of(trials, Builder())
    _say_yardstick(checks.yardstick_keys(dict(zip(trials.cell_id, trials.config, strict=True)), cells))
    if wrong := checks.wrong_ids(trials):
        problems.append(f"{format_count(len(wrong), 'trial')} with an id that is not theirs: {format_first(wrong, 3)}")
    if contribution.claim is not None:
        problems += checks.sweep_problems(contribution.claim, trials)
    problems += derived_problems(trials, curves, cells)
    able = trials[trials.cell_id.isin(cells) & ~trials.trial_id.isin(wrong) & (trials.status != "failed")]
    allowed = _allowed(choices, trials)
    chosen = _drawn(able.trial_id.tolist(), choices)
    done = rerun_trials(able, curves, cells, chosen, allowed, _say)
    _say_rerun("trials", done, allowed.whole, choices)
    return problems + list(done.problems)


def _check_starts(contribution: Contribution, choices: Choices) -> list[str]:
    from initsuite.literature.contribution.cells import start_cells, yardstick_keys
    from initsuite.literature.contribution.numbers import rerun_starts

    starts = contribution.claim.starts if contribution.claim else None
    assert starts is not None  # `read_contribution` refuses the rest
    tables = contribution.starts
    _say(f"Starts: {sum(map(len, tables))} draws of {len(tables)} cells")
    cells, problems = start_cells(starts, tables)
    _say_yardstick(yardstick_keys({str(table.cell.iloc[0]): table.config.iloc[0] for table in tables}, cells))
    places = [(place, int(seed)) for place, table in enumerate(tables) for seed in table.seed]
    chosen = _drawn([place for place in places if tables[place[0]].cell.iloc[0] in cells], choices)
    done = rerun_starts(tables, cells, starts, chosen, choices.tolerance or 0.0)
    _say_rerun("draws of starts", done, choices.tolerance or 0.0, choices)
    return problems + list(done.problems)


def _drawn(places: list[Any], choices: Choices) -> list[Any]:
    import numpy as np

    order = np.random.default_rng(choices.seed).permutation(len(places))
    return [places[number] for number in order[: choices.k]]


def _allowed(choices: Choices, trials: pd.DataFrame) -> Allowed:
    import torch

    from initsuite.literature.contribution.numbers import ELSEWHERE, Allowed

    if choices.tolerance is not None:
        return Allowed(choices.tolerance, choices.tolerance)
    is_here = set(trials.torch_version) == {str(torch.__version__)} and set(trials.device) == {"cpu"}
    return Allowed(0.0 if is_here else ELSEWHERE, ELSEWHERE)


def _counts(trials: pd.DataFrame) -> Iterator[str]:
    """What a maintainer wants to know of the rows before anything else."""
    by_status = ", ".join(f"{number} {status}" for status, number in trials.status.value_counts().items())
    contexts = format_count(trials.context_id.nunique(), "context")
    yield f"Trials: {len(trials)} of {format_count(trials.cell_id.nunique(), 'cell')} in {contexts}; {by_status}"
    for stage, rows in trials.groupby("stage"):
        seeds = sorted(rows.seed.unique())
        is_whole = seeds == list(range(seeds[0], seeds[0] + len(seeds)))
        gaps = "" if is_whole else " (not in a row: were some left out?)"
        yield f"Seeds, {stage}: {len(seeds)}, from {seeds[0]} to {seeds[-1]}{gaps}"
    pairs = set(zip(trials.torch_version, trials.device, strict=True))
    machines = sorted(f"torch {version} on {device}" for version, device in pairs)
    yield f"Made with: {', '.join(machines)}; commits {', '.join(sorted(set(trials.commit)))}"
    if trials.dirty.fillna(False).any():
        yield "Of code that differs from its commit: ask for rows of committed code."


def _say_yardstick(keys: list[str]) -> None:
    if keys:
        _say(f"The rows are counted by another yardstick than this version has: {', '.join(keys)}")


def _say_rerun(what: str, done: Rerun, tolerance: float, choices: Choices) -> None:
    allowed = f"at most {tolerance:g} apart allowed" if tolerance else "the same bits expected"
    _say(
        f"Made again (k={choices.k}, seed={choices.seed}): {done.num} {what}, {done.num_equal} of them the same to the "
        f"bit; largest difference {done.largest:.3g}, {allowed}"
    )


def _say_standing(contribution: Contribution) -> None:
    from initsuite.literature.contribution.standing import standing_lines, verdict_lines

    if contribution.claim is not None:
        _say("\nVerdict, beside the one that ships:")
        for line in verdict_lines(contribution.claim, contribution.folder):
            _say(line)
    if len(contribution.results.trials):
        _say("\nArms by test score, each against the one above it:")
        for line in standing_lines(contribution.results):
            _say(line)


if __name__ == "__main__":
    sys.exit(main())
