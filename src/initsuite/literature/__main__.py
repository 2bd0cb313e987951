"""The door: initsuite claims."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from initsuite.errors import ConfigError, TrialsFailed, bad_value, door_parser, run_door, unknown_choice
from initsuite.results.releases import MANIFEST, is_release, newest_release, read_release, release_folder

if TYPE_CHECKING:
    from initsuite.literature.claim import Claim
    from initsuite.literature.judging import Judged

ACTIONS = ("run", "show")
RESULTS = "claims"
"""The folder with a store for each claim, unless results_dir=DIR says otherwise."""
FIGURES = "figures"
"""Where the figures of a release go, which is never written to."""
_DESCRIPTION = """\
The claims of the literature on initialization, tested again: each has a statement, a prediction
that was written down before it was run, criteria, and a verdict.
"""
_EPILOG = """\
examples:
  initsuite claims                                  all claims, their verdicts, predictions and costs
  initsuite claims run he_depth selu_fixed_point    run what is missing of these; again, it goes on
  initsuite claims run fast dry_run=true            plan the fast tier; all = every claim
  initsuite claims show he_depth                    the evidence of one: numbers, figure, what would change it

results_dir=DIR is where the store of each claim is (default: claims, and the release that ships where nothing was run;
reference@2026.12 is that release); other keys are those of initsuite train that say where and how to run, such as
workers=1.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the door; returns the exit code, as `run_door` does."""
    return run_door(_parser(), _act, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = door_parser("initsuite claims", _DESCRIPTION, _EPILOG)
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="run or show, then names of claims, all or fast; KEY=VALUE"
    )
    return parser


def _act(options: argparse.Namespace) -> int | None:
    from initsuite.literature.text import evidence, table

    keys = dict(word.split("=", 1) for word in options.words if "=" in word)
    action, *names = [word for word in options.words if "=" not in word] or ["table"]
    if action not in (*ACTIONS, "table"):
        raise unknown_choice("claims", "action", action, ACTIONS)
    claims = _chosen(names, action)
    given = keys.pop("results_dir", None)
    if action == "run":
        if given is not None and is_release(given):
            raise bad_value("claims run", "results_dir", given, "a folder: a release is never written to")
        return _run(claims, Path(given or RESULTS), keys)
    results = _results(given)
    if keys:
        raise bad_value(f"claims {action}", next(iter(keys)), keys[next(iter(keys))], "results_dir=DIR alone")
    found = _judged(claims, results)
    release = read_release(results) if (results / MANIFEST).is_file() else None
    if release is not None:
        print(f"From the release that ships: {release.line}\n")
    if action == "table":
        print(table(found))
        return None
    own = Path(RESULTS) if release is not None else results
    for place, each in enumerate(found):
        figure = _figure(each.claim, results, Path(FIGURES) if release is not None else results)
        print("\n" * (place > 0) + evidence(each, own, figure))
    return None


def _results(given: str | None) -> Path:
    """The folder of the stores: what was run in ./claims, or else the newest release.

    Raises:
        StoreError: a release that does not ship.
    """
    if given is not None:
        return release_folder(given) if is_release(given) else Path(given)
    was_run = any(path.is_dir() for path in Path(RESULTS).glob("*/*") if path.name in ("starts", "trials"))
    return Path(RESULTS) if was_run else newest_release() or Path(RESULTS)


def _chosen(names: Sequence[str], action: str) -> list[Claim]:
    """Those that are named, with hyphens or underscores; `all`, and `fast` for the fast tier.

    Raises:
        ConfigError: no name where one is needed, or none of ours.
    """
    from initsuite.literature.claim import claim_names, load_claims

    if not names and action != "table":
        raise ConfigError(
            f"claims {action}: no claim. Expected names, `all` or `fast`. Names: {', '.join(claim_names())}."
        )
    found: dict[str, Claim] = {}
    for name in names or ["all"]:
        several = name in ("all", "fast")
        for claim in load_claims(() if several else [name.replace("-", "_")]):
            if name != "fast" or claim.tier == "fast":
                found[claim.name] = claim
    return list(found.values())


def _run(claims: Sequence[Claim], results: Path, keys: dict[str, str]) -> int:
    """Run one after another; a claim with failed trials does not stop the next."""
    from initsuite.config.cluster import slurm_is_refused
    from initsuite.literature.text import plan, table

    print(plan(claims), flush=True)
    from initsuite.literature.running import Command, run_claim  # with torch

    dry_run = keys.pop("dry_run", "false")
    if dry_run not in ("true", "false"):
        raise bad_value("claims run", "dry_run", dry_run, "true or false")
    if keys.get("cluster") == "slurm":
        raise slurm_is_refused("claims run")
    command = Command(results, tuple(f"{key}={value}" for key, value in keys.items()), dry_run == "true")
    failed = 0
    for claim in claims:
        try:
            run_claim(claim, command, lambda line: print(line, flush=True))
        except TrialsFailed as error:
            print(error, file=sys.stderr)
            failed += 1
    if not command.dry_run:
        print("\n" + table(_judged(claims, results)))
    return 1 if failed else 0


def _judged(claims: Sequence[Claim], results: Path) -> list[Judged]:
    """Some claims with their verdicts; what stands at 5 % of false discoveries is decided over all."""
    from initsuite.literature.claim import load_claims  # late: the help page needs none of it
    from initsuite.literature.judging import judged

    by_name = {each.claim.name: each for each in judged(load_claims(), results)}
    return [by_name[claim.name] for claim in claims]


def _figure(claim: Claim, results: Path, target: Path) -> str:
    """Draw the figure of a claim into a folder of its name; its path, "" where there is nothing to draw."""
    from initsuite.literature.figure import draw
    from initsuite.literature.judging import stored_evidence

    return draw(claim, stored_evidence(claim, results), target / claim.name)


if __name__ == "__main__":
    sys.exit(main())
