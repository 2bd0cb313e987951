"""The door that uploads later: python -m initsuite.sync."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from initsuite.errors import InitsuiteError, check_number, door_parser, run_door
from initsuite.results.leases import Leases
from initsuite.results.store import load_results
from initsuite.tracking.settings import Tracking
from initsuite.tracking.upload import MAX_IN_A_ROW, Uploader
from initsuite.tracking.uploads import StoredTrial, Uploads, missing_trials

MAX_FAILURES = 5
"""Failures that are listed."""

_DESCRIPTION = """\
Upload to Weights & Biases what the results store has and the server lacks, once.

Runs are built from the store. Those that were complete online are left alone, those
that are partly there are completed. What is complete is remembered in
RESULTS_DIR/wandb/uploaded: remove that folder to upload everything again, as into
another project.
"""
_EPILOG = """\
examples:
  python -m initsuite.sync                        the store in ./results
  python -m initsuite.sync my_results --project my_project --entity my_team
  python -m initsuite.sync --stages tune,score    the tuning trials too

exit codes: 0 good, 1 some runs failed, 2 nothing could be done (no store, no API key, no server), 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Upload what is missing; returns the exit code, as `run_door` does."""
    going_on = "What is complete on the server is remembered. To go on"
    return run_door(_parser(), _sync, arguments, going_on=going_on, may_hang=True)


def _sync(options: argparse.Namespace) -> int:
    console = Console()
    check_number("sync", "limit_s", options.limit_s, above=0)
    directory = Path(options.results_dir)
    tracking = Tracking(
        dir=str(directory),
        mode="online",
        project=options.project,
        entity=options.entity,
        stages=tuple(options.stages.split(",")),
        finish_timeout_s=options.limit_s,
    )
    results = load_results(directory)
    with Leases(directory) as leases:
        if not leases.take("sync"):
            raise InitsuiteError(
                f"sync: another sync of {str(directory)!r} is running ({leases.holder('sync')}). "
                "Expected one at a time, so that no run is uploaded twice. Wait until it has ended."
            )
        missing = missing_trials(results.trials, results.curves, Uploads(directory), tracking.stages)
        num_there = int(results.trials.stage.isin(tracking.stages).sum()) - len(missing)
        if missing:
            return _upload(tracking, missing, num_there, console)
    console.print(f"W&B: 0 uploaded, {num_there} already there, 0 failed")
    return 0


def _upload(tracking: Tracking, missing: Sequence[StoredTrial], num_there: int, console: Console) -> int:
    uploader = Uploader(tracking)
    if not console.is_terminal:  # where there is no bar
        console.print(f"Uploading {len(missing)} runs to W&B")
    answers: dict[str, str] = {}
    try:
        with _progress(console) as progress:
            bar = progress.add_task("Uploading to W&B", total=len(missing))
            for trial_id, problem in uploader.upload_all(missing):
                answers[trial_id] = problem
                progress.update(bar, advance=1)
    finally:
        uploader.close()
    failed = [trial_id for trial_id, problem in answers.items() if problem]
    not_tried = len(missing) - len(answers)
    _print_problems(missing, {trial_id: answers[trial_id] for trial_id in failed}, not_tried, console)
    counts = f"W&B: {len(answers) - len(failed)} uploaded, {num_there} already there, {len(failed)} failed"
    rest = f", {not_tried} not tried" if not_tried else ""
    where = f", at {uploader.url}" if uploader.url else ""
    console.print(Text(counts + rest + where), soft_wrap=True)
    return 1 if failed or not_tried else 0


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _print_problems(
    missing: Sequence[StoredTrial], failures: Mapping[str, str], not_tried: int, console: Console
) -> None:
    rows = {stored.row["trial_id"]: stored.row for stored in missing}
    lines = []
    for trial_id, problem in list(failures.items())[:MAX_FAILURES]:
        row = rows[trial_id]
        lines.append(f"{row['init']} lr {row['lr']:g} seed {row['seed']} ({row['model']}, {row['dataset']}): {problem}")
    if len(failures) > MAX_FAILURES:
        lines.append(f"... and {len(failures) - MAX_FAILURES} more")
    if not_tried:
        lines.append(f"sync: stopped: {MAX_IN_A_ROW} runs in a row failed, or nothing was answered any more.")
    if lines:
        lines.append("Nothing is lost: the store has every trial, and the same command uploads what is missing.")
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = door_parser("python -m initsuite.sync", _DESCRIPTION, _EPILOG)
    parser.add_argument("results_dir", nargs="?", default="results", help="the results store (default: results)")
    parser.add_argument("--project", default=Tracking.project, help=f"W&B project (default: {Tracking.project})")
    parser.add_argument("--entity", help="W&B user or team (default: the account's)")
    parser.add_argument("--stages", default="score", help="score (default), or tune,score")
    parser.add_argument(
        "--limit-s",
        type=float,
        default=Tracking.finish_timeout_s,
        metavar="N",
        help=f"stop waiting for a run after N seconds (default: {Tracking.finish_timeout_s:g})",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
