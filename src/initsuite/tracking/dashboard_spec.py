"""What the W&B dashboards show: a workspace and a report as objects of `wandb-workspaces`, and as JSON."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from initsuite.errors import ConfigError
from initsuite.spec import Stage
from initsuite.tracking.labels import JOB_TYPES, REPORT_JOB_TYPE

TITLE = "Weight initializers compared"
"""The title of the workspace and of the report, which becomes a part of its address."""

COLUMNS = 3
"""Panels in a row of a section."""
GRID_WIDTH = 24
"""Width of a panel grid in a report, in its units."""
PANEL_HEIGHT = 10
MAX_SECTIONS = 30
"""Workloads with a section of their own."""
MAX_GROUPS = 100
"""Lines or bars in a panel."""


@dataclass(frozen=True)
class Content:
    """What the dashboards are made of, as plain values.

    Attributes:
        metrics: metrics of the data sets, such as accuracy.
        splits: keys of the config that, beside the group of a run, distinguish cells and learning rates; () where the
            groups do.
        baseline: the run that others are compared with, if any.
        leaderboard, failures, findings, method: Markdown.
        report_run, tables: id of the run that holds the exact tables, and their names.
        workloads: of each, the keys of the config by which its runs are found; each has a section of the report where
            there are several.
        has_signal: whether runs have measures of step 0.
    """

    entity: str
    project: str
    metrics: Sequence[str]
    splits: Sequence[str]
    baseline: str | None
    leaderboard: str
    failures: str
    findings: str
    method: str
    report_run: str
    tables: Sequence[str]
    workloads: Sequence[Mapping[str, str]] = ()
    has_signal: bool = False


def specification(content: Content) -> dict[str, Any]:
    """Both dashboards as the JSON that is saved; neither network nor account is needed. Raises as `workspace`.

    The run sets of the report have no project yet, whose number only the server knows.
    """
    return {
        "workspace": _as_json(workspace(content)),
        "report": _as_json(report(content, is_online=False)),
        "run": {"id": content.report_run, "job_type": REPORT_JOB_TYPE, "tables": list(content.tables)},
    }


def workspace(content: Content) -> Any:
    """Sections Leaderboard, Curves, Speed and Failures over the scoring trials, grouped by cell.

    Raises:
        ConfigError: `wandb-workspaces` is not installed.
    """
    ws, wr, expr = _library()
    leaders, curves, speed, failures = _panels(wr, content)
    sections = {
        "Leaderboard": [wr.MarkdownPanel(markdown=content.leaderboard), *leaders],
        "Curves": curves,
        "Speed": speed,
        "Failures": [wr.MarkdownPanel(markdown=content.failures), *failures],
    }
    if content.has_signal:
        sections["Signal at step 0"] = _signal_panels(wr, content)
    return ws.Workspace(
        entity=content.entity,
        project=content.project,
        name=TITLE,
        sections=[
            ws.Section(
                name=name,
                panels=panels,
                is_open=True,
                layout_settings=ws.SectionLayoutSettings(columns=COLUMNS, rows=-(-len(panels) // COLUMNS)),
                panel_settings=ws.SectionPanelSettings(smoothing_type="none"),
            )
            for name, panels in sections.items()
        ],
        settings=ws.WorkspaceSettings(smoothing_type="none", max_runs=MAX_GROUPS),
        runset_settings=ws.RunsetSettings(
            filters=expr.And(expr.Metric("JobType") == JOB_TYPES[Stage.SCORE]),
            groupby=[expr.Metric("Group"), *(expr.Config(key) for key in content.splits)],
            order=[expr.Ordering(expr.Summary("result/steps_to_target"), ascending=True)],
            pinned_columns=_pinned(content),
            baseline_run=content.baseline,
        ),
    )


def report(content: Content, *, is_online: bool) -> Any:
    """The sentences and tables, panels over the runs, the exact tables, and how it was measured.

    Args:
        content: what the dashboards show.
        is_online: the run sets name their project, for which the library asks the server.
    """
    _, wr, expr = _library()
    place = {"entity": content.entity, "project": content.project} if is_online else {}
    trials = wr.Runset(
        **place,
        name="scoring trials, by cell",
        filters=expr.And(expr.Metric("JobType") == JOB_TYPES[Stage.SCORE]),
        groupby=["group", *(f"config.{key}" for key in content.splits)],
        pinned_columns=_pinned(content),
    )
    aggregates = wr.Runset(**place, name="exact tables", filters=expr.And(expr.Metric("ID") == content.report_run))
    leaders, curves, speed, _ = _panels(wr, content)
    tables = [wr.WeavePanelSummaryTable(table_name=name) for name in content.tables]
    return wr.Report(
        entity=content.entity,
        project=content.project,
        title=TITLE,
        description="Initializers compared on the same workloads, seeds and tuning budget.",
        width="fluid",
        blocks=[
            wr.TableOfContents(),
            wr.H1("Recommendations"),
            wr.MarkdownBlock(content.findings),
            wr.H1("The runs"),
            wr.PanelGrid(runsets=[trials], panels=_placed(wr, [*leaders, *curves, *speed], COLUMNS)),
            *(_sections(wr, expr, content, place) if len(content.workloads) > 1 else ()),
            wr.H1("The exact numbers"),
            wr.PanelGrid(runsets=[aggregates], panels=_placed(wr, tables, 1)),
            wr.H1("How it was measured"),
            wr.MarkdownBlock(content.method),
        ],
    )


def _sections(wr: Any, expr: Any, content: Content, place: Mapping[str, str]) -> Iterator[Any]:
    """A heading and panels for each workload, with its runs alone."""
    for keys in content.workloads[:MAX_SECTIONS]:
        named = [expr.Config(key) == value for key, value in keys.items()]
        runs = wr.Runset(
            **place,
            name=" / ".join(keys.values()),
            filters=expr.And(expr.Metric("JobType") == JOB_TYPES[Stage.SCORE], *named),
            groupby=["group", *(f"config.{key}" for key in content.splits)],
            pinned_columns=_pinned(content),
        )
        leaders, curves, _, _ = _panels(wr, content)
        yield wr.H2(" / ".join(keys.values()))
        yield wr.PanelGrid(runsets=[runs], panels=_placed(wr, [*leaders, *curves], COLUMNS))


def _library() -> tuple[Any, ...]:
    """The modules for workspaces, reports and expressions."""
    try:
        return tuple(import_module(f"wandb_workspaces.{name}") for name in ("workspaces", "reports.v2", "expr"))
    except ImportError as error:
        raise ConfigError(
            f"dashboard: cannot import `wandb-workspaces`: {error}. Expected the extra of this package. "
            'Install it with: pip install "initsuite[dashboards]"'
        ) from error


def _as_json(thing: Any) -> dict[str, Any]:
    return thing._to_model().model_dump(mode="json", by_alias=True, exclude_none=True)


def _pinned(content: Content) -> list[str]:
    scores = [f"test_{metric}" for metric in content.metrics]
    shown = ("reached", "steps_to_target", *scores, "loss_auc", "diverged", "error")
    signal = ["summary:signal/verdict", "summary:signal/layer"] if content.has_signal else []
    results = (f"summary:result/{name}" for name in shown)
    return ["run:displayName", "config:init.value", "config:lr.value", *results, *signal]


def _panels(wr: Any, content: Content) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """The panels about who leads, the curves, the speed and the failures."""
    # None where one key is not enough to group by: the panels then follow the grouping of their run set.
    group = None if content.splits else "Group"
    bars = functools.partial(_bars, wr, group)
    leaders = [
        bars("reached", "success rate: share of seeds that reach the target", "mean", "none"),
        bars("steps_to_target", "steps to target, median and range; a seed that misses it counts the budget"),
        *(bars(f"test_{metric}", f"test {metric}, median and range over the seeds") for metric in content.metrics),
    ]
    names = [*(f"val/{metric}" for metric in content.metrics), "val/loss", "train/loss"]
    curves = [_curve(wr, group, name) for name in names]
    speed = [
        bars("steps_to_target", "steps to target (the budget for a miss)"),
        bars("loss_auc", "loss area: mean validation loss over log step, lower is better"),
    ]
    failures = [
        bars("diverged_at", "step of divergence (seeds that diverge), median and range"),
        wr.ScatterPlot(
            title="step of divergence by learning rate",
            x=wr.Config("lr"),
            y=wr.SummaryMetric("result/diverged_at"),
            log_x=True,
        ),
    ]
    return leaders, curves, speed, failures


def _signal_panels(wr: Any, content: Content) -> list[Any]:
    """The test score by what was measured at step 0, a dot for each run."""
    titles = {
        "q_ratio": "mean square of the signal, last / first hidden layer",
        "gradient_ratio": "squared length of the gradient, first / last hidden layer",
        "loss_ratio": "first loss / that of a model that knows nothing",
    }
    return [
        wr.ScatterPlot(
            title=f"test {metric} by {title}",
            x=wr.SummaryMetric(f"signal/{name}"),
            y=wr.SummaryMetric(f"result/test_{metric}"),
            log_x=True,
        )
        for metric in content.metrics
        for name, title in titles.items()
    ]


def _curve(wr: Any, group: str | None, name: str) -> Any:
    """Mean line over the seeds of a cell, in a band from the lowest to the highest."""
    return wr.LinePlot(
        title=f"{name}, mean and range over the seeds",
        x="Step",
        y=[name],
        title_x="step (optimizer updates)",
        groupby=group,
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
        smoothing_type="none",
        smoothing_factor=0,
        max_runs_to_show=MAX_GROUPS,
    )


def _bars(wr: Any, group: str | None, name: str, title: str, aggregate: str = "median", band: str = "minmax") -> Any:
    return wr.BarPlot(
        title=title,
        metrics=[f"result/{name}"],
        groupby=group,
        groupby_aggfunc=aggregate,
        groupby_rangefunc=band,
        max_bars_to_show=MAX_GROUPS,
    )


def _placed(wr: Any, panels: Sequence[Any], columns: int) -> list[Any]:
    """Panels of a grid in a report, row by row."""
    width = GRID_WIDTH // columns
    for place, panel in enumerate(panels):
        row, column = divmod(place, columns)
        panel.layout = wr.Layout(x=column * width, y=row * PANEL_HEIGHT, w=width, h=PANEL_HEIGHT)
    return list(panels)
