"""The door to W&B dashboards: python -m initsuite.dashboard."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from initsuite.errors import door_parser, end_without_threads, run_door
from initsuite.files import cache_root, write_whole
from initsuite.report.files import write_report
from initsuite.report.text.citation import listed
from initsuite.report.text.display import CAPTION, arms_by_context
from initsuite.report.text.documents import markdown, markdown_table, report_parts
from initsuite.report.verdicts.comparison import BASELINE
from initsuite.report.verdicts.recommendations import Report, build_report
from initsuite.report.verdicts.views import Views
from initsuite.results.sources import load_results
from initsuite.spec import CONTEXT_AXES, Stage, Status, short_hash
from initsuite.tracking.dashboard_spec import Content, specification
from initsuite.tracking.labels import GROUP_AXES
from initsuite.tracking.save_dashboards import Saver
from initsuite.tracking.settings import Tracking

_DESCRIPTION = """\
Save W&B dashboards of the stored trials: a workspace with the sections Leaderboard,
Curves, Speed and Failures, a report with the recommendations, and a run that holds
the exact tables and the figures. The same command, run again, changes what it saved.
"""
_EPILOG = """\
examples:
  python -m initsuite.dashboard                                  the store in ./results
  python -m initsuite.dashboard my_results --project my_project --entity my_team
  python -m initsuite.dashboard --dry-run --out dashboard.json   what would be saved, without an account

The panels show the runs of the project: upload what is missing with initsuite.sync.

exit codes: 0 good, 2 nothing could be done (no results, no API key, no server, the extra is not installed)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Save the dashboards, or write what would be saved; returns the exit code, as `run_door` does."""
    return run_door(_parser(), _save_or_write, arguments)


def dashboard_content(views: Views, entity: str, project: str) -> Content:
    """What the dashboards of a report show, in a project of a W&B user or team."""
    trials, tables = views.report.trials, exact_tables(views)
    score = trials.loc[trials.stage == Stage.SCORE]
    _, *parts = report_parts(views, {})  # without the title and the figures
    return Content(
        entity=entity,
        project=project,
        metrics=sorted(score.metric.dropna().unique()),
        splits=_splits(score),
        baseline=_baseline(views.report),
        leaderboard=_leaderboard(views.report),
        failures=_failures(views),
        findings=markdown([part for part in parts if part != CAPTION]),  # which `_method` has
        method=_method(trials),
        report_run=f"report-{short_hash([table.to_csv(index=False) for table in tables.values()])}",
        tables=tuple(tables),
        has_signal="signal" in tables,
        workloads=[dict(zip(CONTEXT_AXES, map(str, row), strict=True)) for row in _workloads(views.report)],
    )


def exact_tables(views: Views) -> dict[str, pd.DataFrame]:
    """The tables that the run of the report carries, by name; those without rows are left out."""
    tables = {"recommendations": views.report.recommendations, "arms": views.report.arms}
    tables |= {"scorecard": views.scorecard, "aggregates": views.aggregates, "signal": views.starts}
    return {name: table for name, table in tables.items() if len(table)}


def _save_or_write(options: argparse.Namespace) -> None:
    # W&B's own files and the memory of what was saved go to the store, where there is one.
    directory = Path(options.results_dir)
    directory = directory if (directory / "trials").is_dir() else cache_root() / "wandb" / "dashboards"
    tracking = Tracking(dir=str(directory), mode="online", project=options.project, entity=options.entity)
    views = Views(build_report(load_results(options.results_dir)))
    if options.dry_run:
        entity = options.entity or "ENTITY"  # a placeholder for the account's default
        _write(dashboard_content(views, entity, tracking.project), options.out)
        return
    saver = Saver(tracking)
    content = dashboard_content(views, saver.entity, tracking.project)
    with tempfile.TemporaryDirectory(prefix="initsuite-dashboard-") as folder:
        figures = [path for path in write_report(views, Path(folder)) if path.suffix == ".png"]
        saved = saver.save(content, exact_tables(views), figures)
    if options.out:
        _write(content, options.out)
    for name, url in saved.items():
        print(f"{name}: {url}")


def _write(content: Content, out: str | None) -> None:
    text = json.dumps(specification(content), indent=2, allow_nan=False)
    if out:
        write_whole(Path(out).absolute(), lambda path: path.write_text(text + "\n", encoding="utf-8"))
        print(f"Written: {out}")
    else:
        print(text)


def _splits(score: pd.DataFrame) -> list[str]:
    """Keys of the config that distinguish what the groups of the runs put together."""
    found: list[str] = []
    for key in ("cell_id", "lr"):
        if len(score) and score.groupby([*GROUP_AXES, *found])[key].nunique().max() > 1:
            found.append(key)
    return found


def _workloads(report: Report) -> list[tuple[str, ...]]:
    rows = report.recommendations[list(CONTEXT_AXES)].drop_duplicates()
    return list(rows.itertuples(index=False, name=None))


def _baseline(report: Report) -> str | None:
    """The scoring trial with the median score of the baseline of the first context, else of its leader."""
    for comparison in report.comparisons:
        baselines = [standing.arm for standing in comparison.standings if standing.arm.name == BASELINE]
        leader = [comparison.leader.arm] if comparison.leader else []
        for arm in [*baselines, *leader]:
            done = arm.trials[arm.trials.status == Status.DONE].sort_values("test_score")
            if len(done):
                return str(done.trial_id.iloc[(len(done) - 1) // 2])
    return None


def _leaderboard(report: Report) -> str:
    tables = [f"**{title}**\n\n{markdown_table(table)}" for title, table in arms_by_context(report)]
    return "\n\n".join(["As the report has it, with 95 % intervals:", *tables])


def _failures(views: Views) -> str:
    if views.failures.empty:
        return "No trial diverged or failed, and every initializer trains."
    return markdown_table(views.failures.rename(columns=lambda name: name.replace("_", " ")))


def _method(trials: pd.DataFrame) -> str:
    stages = trials.stage.value_counts()
    facts = {"scoring trials": stages.get(Stage.SCORE, 0), "tuning trials": stages.get(Stage.TUNE, 0)}
    names = ("protocol", "protocol_version", "device", "torch_version", "commit")
    facts |= {name.replace("_", " "): listed(trials[name]) for name in names}
    return "\n".join([CAPTION, "", *(f"- {name}: {value}" for name, value in facts.items())])


def _parser() -> argparse.ArgumentParser:
    parser = door_parser("python -m initsuite.dashboard", _DESCRIPTION, _EPILOG)
    parser.add_argument("results_dir", nargs="?", default="results", help="what load_results reads (default: results)")
    parser.add_argument("--project", help="W&B project (default: that of WANDB_PROJECT, else initsuite)")
    parser.add_argument("--entity", help="W&B user or team (default: the account's)")
    parser.add_argument("--dry-run", action="store_true", help="write what would be saved, as JSON; save nothing")
    parser.add_argument("--out", metavar="FILE", help="where that JSON goes (default: the screen, in a dry run)")
    return parser


if __name__ == "__main__":
    end_without_threads(main())
