"""The door that cares for results stores: python -m initsuite.results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from initsuite.errors import door_parser, run_door
from initsuite.provenance import short_commit
from initsuite.results.maintain import KINDS, Pruning, merge, plan_prune, prune
from initsuite.results.migrate import Migration, migrate
from initsuite.results.store import Results, check_store, load_results, store_hash
from initsuite.spec import Stage
from initsuite.wording import format_bytes, format_first

MAX_NAMES = 12
"""Of initializers and experiments that are listed."""

_DESCRIPTION = """\
Look into results stores, put several into one, tidy one up, bring one up to date.
Nothing is trained.
"""
_EPILOG = """\
examples:
  python -m initsuite.results show                        the store in ./results
  python -m initsuite.results merge all laptop cluster    two stores in one
  python -m initsuite.results prune results --dry-run     what would go
  python -m initsuite.results migrate results             the commands of old trials

exit codes: 0 good, 2 nothing was done (no store, no room, a store in use)
"""
_MERGE = """\
Copy the parts of the sources into the target, which is made when it is missing. The
sources stay as they are; what the target has already is not copied again. Trials and
their curves are copied: neither plans, nor W&B runs, nor reports.
"""
_PRUNE = """\
Rewrite a store into few parts, without repeated rows, failures of trials that were
done later, trials whose curve is lost, and damaged parts. The report stays the same.
The old parts are moved to DIR/pruned, which can be merged again.
"""


_MIGRATE = """\
Give each trial that an older version stored the overrides that make it, worked out
from its stored configuration: the page of the report shows them as commands. What was
measured stays the same. The old parts are moved to DIR/pruned, which can be merged
again.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Show, merge, prune or migrate; returns the exit code, as `run_door` does."""
    return run_door(_parser(), lambda options: options.run(options, Console()), arguments)


def contents(directory: Path, results: Results) -> list[tuple[str, str]]:
    """What a store holds, as names and values for people."""
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
        ("size", f"{_size([path for listed in parts.values() for path in listed])}, {_whole_size(directory)} in all"),
        ("trials", f"{len(trials)}: {_by_stage(trials)}" if len(trials) else "none"),
        ("contexts", str(trials.context_id.nunique())),
        ("cells", str(trials.cell_id.nunique())),
        ("initializers", _names(trials.init)),
        ("experiments", _names(trials.experiment)),
        ("protocols", _names(trials.protocol)),
        ("protocol versions", _counted(trials.protocol_version)),
        ("commits", ", ".join(commits) or "none"),
        ("W&B runs", f"{len(links)}, such as {links[0]}" if links else "none"),
        ("written", f"{written.min()[:19]} to {written.max()[:19]} UTC" if len(written) else "never"),
    ]


def _show(options: argparse.Namespace, console: Console) -> None:
    directory = Path(options.dir)
    check_store("show", directory)
    table = Table(box=SIMPLE, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in contents(directory, load_results(directory)):
        table.add_row(name, Text(value))
    console.print(Text(str(directory), style="bold"), soft_wrap=True)
    console.print(table)


def _merge(options: argparse.Namespace, console: Console) -> None:
    target = Path(options.target)
    done = merge(target, [Path(source) for source in options.sources])
    mended = f" ({done.num_mended} of them had failed, and are done now)" if done.num_mended else ""
    console.print(f"Trials: {done.num_new} new, {done.num_known} known already{mended}.")
    console.print(f"Parts: {done.num_copied} copied, {done.num_same} already there.")
    for part in done.damaged:
        console.print(Text(f"Damaged, and left out: {part}", style="yellow"), soft_wrap=True)
    trials = load_results(target).trials
    console.print(Text(f"{target}: {len(trials)} trials, hash {store_hash(trials)}"), soft_wrap=True)


def _prune(options: argparse.Namespace, console: Console) -> None:
    directory = Path(options.dir)
    if options.dry_run:
        plan, place = plan_prune(directory, options.older_versions), None
    else:
        plan, place = prune(directory, options.older_versions, options.delete)
    for line in _prune_lines(plan, options.dry_run):
        console.print(Text(line))
    if plan.old and not options.dry_run:
        where = "deleted" if place is None else f"moved to {place}"
        console.print(Text(f"Old files: {len(plan.old)} {where}"), soft_wrap=True)


def _prune_lines(plan: Pruning, is_dry: bool) -> list[str]:
    if not plan.old:
        return ["Nothing to prune: the store holds what readers use, in few parts."]
    lines = []
    if plan.is_rewritten:
        num_parts = sum(part.parent.name == "trials" for part in plan.old)
        verb = "Would rewrite" if is_dry else "Rewrote"
        lines.append(f"{verb} {len(plan.kept.trials)} trials: {num_parts} parts become {plan.num_new_parts}.")
    gone = ", ".join(f"{count} {what}" for what, count in plan.left_out.items() if count)
    return [*lines, f"{'Would leave' if is_dry else 'Left'} out: {gone or 'nothing'}."]


def _migrate(options: argparse.Namespace, console: Console) -> None:
    done = migrate(Path(options.dir), options.dry_run)
    for line in _migrate_lines(done, options.dry_run):
        console.print(Text(line), soft_wrap=True)


def _migrate_lines(done: Migration, is_dry: bool) -> list[str]:
    lines = ["Nothing to migrate: every trial that can say how to make it again does."]
    if done.num_filled:
        verb = "Would write" if is_dry else "Wrote"
        lines = [f"{verb} the overrides of {done.num_filled} rows of trials."]
    if done.num_left:
        lines.append(f"Left without: {done.num_left} rows that hold no configuration.")
    if done.place:
        lines.append(f"Old files: {len(done.old)} moved to {done.place}")
    return lines


def _by_stage(trials: pd.DataFrame) -> str:
    stages = sorted(trials.stage.dropna().unique(), key=lambda stage: stage == Stage.SCORE)  # the last one
    counts = [(stage, trials.status[trials.stage == stage].value_counts().sort_index()) for stage in stages]
    return "; ".join(
        f"{stage} " + ", ".join(f"{number} {status}" for status, number in found.items()) for stage, found in counts
    )


def _names(column: pd.Series) -> str:
    names = sorted({str(name) for name in column.dropna() if name})
    return f"{len(names)}: {format_first(names, MAX_NAMES)}" if names else "none"


def _counted(column: pd.Series) -> str:
    counts = column.value_counts().sort_index()
    return ", ".join(f"{value} ({count} trials)" for value, count in counts.items()) or "none"


def _whole_size(directory: Path) -> str:
    return _size([path for path in directory.rglob("*") if path.is_file()])


def _size(paths: Sequence[Path]) -> str:
    """A file that goes in this moment counts nothing."""
    return format_bytes(sum(path.stat().st_size for path in paths if path.exists()))


def _parser() -> argparse.ArgumentParser:
    parser = door_parser("python -m initsuite.results", _DESCRIPTION, _EPILOG)
    shape = parser.formatter_class
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="what a store holds")
    show.add_argument("dir", nargs="?", default="results", metavar="DIR", help="the store (default: results)")
    show.set_defaults(run=_show)
    merging = commands.add_parser(
        "merge", help="copy the trials of other stores into one", description=_MERGE, formatter_class=shape
    )
    merging.add_argument("target", metavar="TARGET", help="the store that gets the trials")
    merging.add_argument("sources", nargs="+", metavar="SOURCE", help="stores that they are copied from")
    merging.set_defaults(run=_merge)
    pruning = commands.add_parser(
        "prune", help="rewrite a store into few parts", description=_PRUNE, formatter_class=shape
    )
    pruning.add_argument("dir", metavar="DIR", help="the store")
    pruning.add_argument("--older-versions", action="store_true", help="trials of older protocol versions go too")
    pruning.add_argument("--delete", action="store_true", help="remove the old files instead of moving them")
    pruning.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")
    pruning.set_defaults(run=_prune)
    migrating = commands.add_parser(
        "migrate", help="store how to make old trials again", description=_MIGRATE, formatter_class=shape
    )
    migrating.add_argument("dir", metavar="DIR", help="the store")
    migrating.add_argument("--dry-run", action="store_true", help="say what would be written, and change nothing")
    migrating.set_defaults(run=_migrate)
    return parser


if __name__ == "__main__":
    sys.exit(main())
