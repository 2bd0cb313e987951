"""The door for the care of results stores: `python -m initsuite.results`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from initsuite.errors import door_parser, run_door
from initsuite.provenance import short_commit
from initsuite.results.columns import KINDS
from initsuite.results.maintain import merge, plan_prune, prune
from initsuite.results.migrate import migrate
from initsuite.results.releases import MANIFEST, check_release, claim_folders
from initsuite.results.sources import store_folder
from initsuite.results.store import Results, check_store, load_results, store_hash
from initsuite.spec import Stage
from initsuite.wording import format_bytes, format_count, format_first

MAX_NAMES = 12
"""Initializers and experiments that are listed."""

_DESCRIPTION = """\
Look into a results store, merge several, tidy one up, bring an old one up to date.
Nothing is trained.
"""
_EPILOG = """\
examples:
  python -m initsuite.results show                        the store in ./results
  python -m initsuite.results merge all laptop cluster    two stores in one
  python -m initsuite.results prune results --dry-run     what would go
  python -m initsuite.results migrate results             the commands of old trials
  initsuite results check FOLDER                          a claim or a law of one's own, before it is accepted

exit codes: 0 success, 2 nothing was done (no store, no room, a store in use)
"""
_MERGE = """\
Copy the parts of the sources into the target, which is created if it is missing. The
sources stay as they are; what the target has already is not copied again. Only trials
and their curves are copied: no plans, W&B runs or reports.
"""
_PRUNE = """\
Rewrite a store into few parts, without repeated rows, failures of trials that were
done later, trials whose curve is lost, and damaged parts. The report stays the same.
The old parts are moved to DIR/pruned, which can be merged again.
"""
_MIGRATE = """\
Give each trial that an older version stored the overrides that make it, worked out
from its stored configuration; the page of the report shows them as commands. What was
measured stays the same. The old parts are moved to DIR/pruned, which can be merged
again.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Show, merge, prune or migrate; returns the exit code, as `run_door` does."""
    return run_door(_parser(), _run, arguments)


def _run(options: argparse.Namespace) -> None:
    console = Console()
    for part in options.run(options):
        console.print(Text(part) if isinstance(part, str) else part, soft_wrap=not isinstance(part, Table))


def contents(directory: Path, results: Results) -> list[tuple[str, str]]:
    """What a store holds, as names and values for people to read."""
    trials = results.trials
    parts = {kind: list((directory / kind).glob("*.parquet")) for kind in KINDS}
    num_damaged = len(list((directory / "quarantine").glob("*.parquet")))
    dirty = trials.commit[trials.dirty.fillna(False).astype(bool)].unique()
    commits = [short_commit(name) + " (dirty)" * (name in dirty) for name in trials.commit.dropna().unique()]
    links = [results.links[trial_id] for trial_id in trials.trial_id if trial_id in results.links]
    written = trials.written_at.dropna()
    return [
        ("hash", store_hash(trials)),
        ("parts", f"{len(parts['trials'])} of trials, {len(parts['curves'])} of curves"),
        ("damaged parts", f"{num_damaged}, in quarantine" if num_damaged else "none"),
        ("size", f"{_size(chain(*parts.values()))}, {_size(filter(Path.is_file, directory.rglob('*')))} in all"),
        ("trials", f"{len(trials)}: {_by_stage(trials)}" if len(trials) else "none"),
        ("contexts", str(trials.context_id.nunique())),
        ("cells", str(trials.cell_id.nunique())),
        ("initializers", _names(trials.init)),
        ("experiments", _names(trials.experiment)),
        ("protocols", _names(trials.protocol)),
        ("protocol versions", _counted(trials.protocol_version)),
        ("commits", ", ".join(commits) or "none"),
        ("signal at step 0", _measured(trials.signal_verdict)),
        ("W&B runs", f"{len(links)}, such as {links[0]}" if links else "none"),
        ("written", f"{written.min()[:19]} to {written.max()[:19]} UTC" if len(written) else "never"),
    ]


def _show(options: argparse.Namespace) -> Iterator[Text | Table]:
    directory = store_folder(options.dir)
    if (directory / MANIFEST).is_file():
        release, claims = check_release(directory), [path.name for path in claim_folders(directory)]
        yield Text(release.line, style="bold")
        yield Text(f"{format_count(len(claims), 'claim')}: {', '.join(claims)}")
        return
    check_store("show", directory)
    table = Table(box=SIMPLE, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in contents(directory, load_results(directory)):
        table.add_row(name, Text(value))
    yield Text(str(directory), style="bold")
    yield table


def _merge(options: argparse.Namespace) -> Iterator[str | Text]:
    target = Path(options.target)
    done = merge(target, [Path(source) for source in options.sources])
    redone = f" ({done.num_redone} of them had failed, and are done now)" if done.num_redone else ""
    yield f"Trials: {done.num_new} new, {done.num_known} known already{redone}."
    yield f"Parts: {done.num_copied} copied, {done.num_same} already there."
    yield from (Text(f"Damaged, and left out: {part}", style="yellow") for part in done.damaged)
    trials = load_results(target).trials
    yield f"{target}: {format_count(len(trials), 'trial')}, hash {store_hash(trials)}"


def _prune(options: argparse.Namespace) -> Iterator[str]:
    directory, is_dry = Path(options.dir), options.dry_run
    if is_dry:
        plan, place = plan_prune(directory, options.older_versions), None
    else:
        plan, place = prune(directory, options.older_versions, options.delete)
    if not plan.old and not any(plan.left_out.values()):
        yield "Nothing to prune: the store holds what readers use, in few parts."
        return
    if plan.is_rewritten:
        num_parts = sum(part.parent.name == "trials" for part in plan.old)
        trials = format_count(len(plan.kept.trials), "trial")
        yield f"{'Would rewrite' if is_dry else 'Rewrote'} {trials}: {num_parts} parts become {plan.num_new_parts}."
    gone = ", ".join(f"{count} {what}" for what, count in plan.left_out.items() if count)
    yield f"{'Would leave' if is_dry else 'Left'} out: {gone or 'nothing'}."
    if not is_dry and plan.old:
        yield f"Old files: {len(plan.old)} {f'moved to {place}' if place else 'deleted'}"


def _migrate(options: argparse.Namespace) -> Iterator[str]:
    done = migrate(Path(options.dir), options.dry_run)
    if done.num_filled:
        rows = format_count(done.num_filled, "row")
        yield f"{'Would write' if options.dry_run else 'Wrote'} the overrides of {rows} of trials."
    else:
        yield "Nothing to migrate: every trial that can say how to make it again does."
    if done.num_left:
        yield f"Left without overrides: {format_count(done.num_left, 'row')} with no stored configuration."
    if done.place:
        yield f"Old files: {len(done.old)} moved to {done.place}"


def _by_stage(trials: pd.DataFrame) -> str:
    stages = sorted(trials.stage.dropna().unique(), key=lambda stage: stage == Stage.SCORE)  # score last
    counts = [(stage, trials.status[trials.stage == stage].value_counts().sort_index()) for stage in stages]
    return "; ".join(
        f"{stage} " + ", ".join(f"{number} {status}" for status, number in found.items()) for stage, found in counts
    )


def _names(column: pd.Series) -> str:
    names = sorted({str(name) for name in column.dropna() if name})
    return f"{len(names)}: {format_first(names, MAX_NAMES)}" if names else "none"


def _measured(verdicts: pd.Series) -> str:
    """What `diagnostics=true` found, the commonest first."""
    counts = verdicts[verdicts.notna() & (verdicts != "")].value_counts()
    return (
        "; ".join(f"{verdict} ({format_count(count, 'trial')})" for verdict, count in counts.items()) or "not measured"
    )


def _counted(column: pd.Series) -> str:
    counts = column.value_counts().sort_index()
    return ", ".join(f"{value} ({format_count(count, 'trial')})" for value, count in counts.items()) or "none"


def _size(paths: Iterable[Path]) -> str:
    """The size of files; one that has just gone counts nothing."""
    return format_bytes(sum(path.stat().st_size for path in paths if path.exists()))


def _parser() -> argparse.ArgumentParser:
    parser = door_parser("python -m initsuite.results", _DESCRIPTION, _EPILOG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[..., Any], summary: str, description: str | None = None) -> argparse.ArgumentParser:
        name, shape = run.__name__.strip("_"), parser.formatter_class
        made = commands.add_parser(name, help=summary, description=description, formatter_class=shape)
        made.set_defaults(run=run)
        return made

    show = command(_show, "what a store holds")
    show.add_argument("dir", nargs="?", default="results", metavar="DIR", help="the store (default: results)")
    merging = command(_merge, "copy the trials of other stores into one", _MERGE)
    merging.add_argument("target", metavar="TARGET", help="the store that gets the trials")
    merging.add_argument("sources", nargs="+", metavar="SOURCE", help="stores that they are copied from")
    pruning = command(_prune, "rewrite a store into few parts", _PRUNE)
    pruning.add_argument("dir", metavar="DIR", help="the store")
    pruning.add_argument("--older-versions", action="store_true", help="trials of older protocol versions go too")
    pruning.add_argument("--delete", action="store_true", help="remove the old files instead of moving them")
    pruning.add_argument("--dry-run", action="store_true", help="show what would go, and change nothing")
    migrating = command(_migrate, "store how to make old trials again", _MIGRATE)
    migrating.add_argument("dir", metavar="DIR", help="the store")
    migrating.add_argument("--dry-run", action="store_true", help="show what would be written, and change nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
