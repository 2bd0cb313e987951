"""The door that uploads later: python -m initsuite.sync."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from initsuite.errors import InitsuiteError, check_number, door_parser, end_without_threads, run_door
from initsuite.results.leases import Leases
from initsuite.results.store import load_results
from initsuite.tracking.settings import Tracking
from initsuite.tracking.upload import MAX_IN_A_ROW, Uploader
from initsuite.tracking.uploads import StoredTrial, Uploads, missing_trials

MAX_FAILURES = 5
"""How many failures are listed."""

_DESCRIPTION = """\
Upload to Weights & Biases what the results store has and the server lacks, once.

Runs are built from the store. Those that are complete online are left alone, those
that are partly there are completed. What is complete is remembered in
RESULTS_DIR/wandb/uploaded: remove that folder to upload everything again, for example
into another project.
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
    return run_door(_parser(), _sync, arguments, going_on=going_on)


def _sync(options: argparse.Namespace) -> int:
    console, directory = Console(), Path(options.results_dir)
    check_number("sync", "limit_s", options.limit_s, above=0)
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
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            tried = uploader.upload_all(missing)
            answers = dict(progress.track(tried, total=len(missing), description="Uploading to W&B"))
    finally:
        uploader.close()
    failures = {trial_id: problem for trial_id, problem in answers.items() if problem}
    not_tried = len(missing) - len(answers)
    counts = f"W&B: {len(answers) - len(failures)} uploaded, {num_there} already there, {len(failures)} failed"
    rest = f", {not_tried} not tried" if not_tried else ""
    where = f", at {uploader.url}" if uploader.url else ""
    for line in [*_problems(missing, failures, not_tried), counts + rest + where]:
        console.print(Text(line), soft_wrap=True)
    return 1 if failures or not_tried else 0


def _problems(missing: Sequence[StoredTrial], failures: Mapping[str, str], not_tried: int) -> list[str]:
    rows = {stored.row["trial_id"]: stored.row for stored in missing}
    lines = []
    for trial_id, problem in list(failures.items())[:MAX_FAILURES]:
        row = rows[trial_id]
        lines.append(f"{row['init']} lr {row['lr']:g} seed {row['seed']} ({row['model']}, {row['dataset']}): {problem}")
    if len(failures) > MAX_FAILURES:
        lines.append(f"... and {len(failures) - MAX_FAILURES} more")
    if not_tried:
        lines.append(f"sync: stopped: {MAX_IN_A_ROW} runs in a row failed, or the server no longer answered.")
    if lines:
        lines.append("Nothing is lost: the store has every trial, and the same command uploads what is missing.")
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = door_parser("python -m initsuite.sync", _DESCRIPTION, _EPILOG)
    parser.add_argument("results_dir", nargs="?", default="results", help="the results store (default: results)")
    parser.add_argument("--project", help="W&B project (default: that of WANDB_PROJECT, else initsuite)")
    parser.add_argument("--entity", help="W&B user or team (default: the account's)")
    parser.add_argument("--stages", default="score", help="score (default), or tune,score")
    limit_s = Tracking.finish_timeout_s
    limit_help = f"stop waiting for a run after N seconds (default: {limit_s:g})"
    parser.add_argument("--limit-s", type=float, default=limit_s, metavar="N", help=limit_help)
    return parser


if __name__ == "__main__":
    end_without_threads(main())
