"""What the W&B dashboards show: a workspace and a report as objects of `wandb-workspaces`, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from initsuite.errors import ConfigError
from initsuite.spec import Stage
from initsuite.tracking.labels import JOB_TYPES, REPORT_JOB_TYPE

TITLE = "Weight initializers compared"
"""Of the workspace and of the report, whose address it becomes a part of."""

COLUMNS = 3
"""Panels in a row of a section."""
GRID_WIDTH = 24
"""Of a panel grid in a report, in its units."""
PANEL_HEIGHT = 10
MAX_GROUPS = 100
"""Lines or bars in a panel."""


@dataclass(frozen=True)
class Content:
    """What the dashboards are made of, as plain values.

    Attributes:
        entity: W&B user or team.
        project: of the runs.
        metrics: of the data sets, such as accuracy.
        splits: keys of the config that, beside the group of a run, tell cells and learning rates apart; () where the
            groups do.
        baseline: run that others are compared with; None where there is none.
        leaderboard: who leads, Markdown.
        failures: how many trials diverged or failed, Markdown.
        findings: sentences and tables of the report, Markdown.
        method: how it was measured, Markdown.
        report_run: id of the run that holds the exact tables.
        tables: their names.
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


def specification(content: Content) -> dict[str, Any]:
    """Both as the JSON that is saved; neither network nor account is needed.

    The run sets of the report have no project yet, whose number only the server knows.

    Raises:
        ConfigError: `wandb-workspaces` is not installed.
    """
    return {
        "workspace": _spec(workspace(content)),
        "report": _spec(report(content, is_online=False)),
        "run": {"id": content.report_run, "job_type": REPORT_JOB_TYPE, "tables": list(content.tables)},
    }


def workspace(content: Content) -> Any:
    """Sections Leaderboard, Curves, Speed and Failures over the scoring trials, grouped by cell.

    Raises:
        ConfigError: `wandb-workspaces` is not installed.
    """
    ws, wr, expr = _library()
    sections = [
        ("Leaderboard", [_text(wr, content.leaderboard), *_leader_bars(wr, content)]),
        ("Curves", _curves(wr, content)),
        ("Speed", _speed_bars(wr, content)),
        ("Failures", [_text(wr, content.failures), *_failure_panels(wr, content)]),
    ]
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
            for name, panels in sections
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
        is_online: the run sets name their project, for which the library asks the server.

    Raises:
        ConfigError: `wandb-workspaces` is not installed.
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
    panels = [*_leader_bars(wr, content), *_curves(wr, content), *_speed_bars(wr, content)]
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
            wr.PanelGrid(runsets=[trials], panels=_placed(wr, panels, COLUMNS)),
            wr.H1("The exact numbers"),
            wr.PanelGrid(runsets=[aggregates], panels=_placed(wr, tables, 1)),
            wr.H1("How it was measured"),
            wr.MarkdownBlock(content.method),
        ],
    )


def _library() -> tuple[Any, Any, Any]:
    try:
        names = ("workspaces", "reports.v2", "expr")
        workspaces, reports, expr = (import_module(f"wandb_workspaces.{name}") for name in names)
    except ImportError as error:
        raise ConfigError(
            f"dashboard: cannot import `wandb-workspaces`: {error}. Expected the extra of this package. "
            'Install it with: pip install "initsuite[dashboards]"'
        ) from error
    return workspaces, reports, expr


def _spec(thing: Any) -> dict[str, Any]:
    return thing._to_model().model_dump(mode="json", by_alias=True, exclude_none=True)


def _pinned(content: Content) -> list[str]:
    results = ("reached_target", "steps_to_target", *(f"test_{metric}" for metric in content.metrics))
    shown = (*results, "loss_auc", "diverged", "error")
    return ["run:displayName", "config:init.value", "config:lr.value", *(f"summary:result/{name}" for name in shown)]


def _leader_bars(wr: Any, content: Content) -> list[Any]:
    scores = [
        _bars(wr, content, f"test_{metric}", f"test {metric}, median and range over the seeds")
        for metric in content.metrics
    ]
    return [
        _bars(wr, content, "reached_target", "success rate: share of seeds that reach the target", "mean", "none"),
        # A seed that misses the target has no number of steps, and is missing here: read it with the success rate.
        _bars(wr, content, "steps_to_target", "steps to target, median and range of the seeds that reach it"),
        *scores,
    ]


def _speed_bars(wr: Any, content: Content) -> list[Any]:
    return [
        _bars(wr, content, "steps_to_target", "steps to target (seeds that reach it)"),
        _bars(wr, content, "epochs_to_target", "epochs to target (seeds that reach it)"),
        _bars(wr, content, "loss_auc", "loss area: mean validation loss over log step, lower is better"),
    ]


def _failure_panels(wr: Any, content: Content) -> list[Any]:
    return [
        _bars(wr, content, "diverged_at", "step of divergence (seeds that diverge), median and range"),
        wr.ScatterPlot(
            title="step of divergence by learning rate",
            x=wr.Config("lr"),
            y=wr.SummaryMetric("result/diverged_at"),
            log_x=True,
        ),
    ]


def _curves(wr: Any, content: Content) -> list[Any]:
    """Mean line over the seeds of a cell, in a band from the lowest to the highest."""
    names = [*(f"val/{metric}" for metric in content.metrics), "val/loss", "train/loss"]
    return [
        wr.LinePlot(
            title=f"{name}, mean and range over the seeds",
            x="Step",
            y=[name],
            title_x="step (optimizer updates)",
            groupby=_panel_group(content),
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
            smoothing_type="none",
            smoothing_factor=0,
            max_runs_to_show=MAX_GROUPS,
        )
        for name in names
    ]


def _bars(wr: Any, content: Content, name: str, title: str, aggregate: str = "median", band: str = "minmax") -> Any:
    return wr.BarPlot(
        title=title,
        metrics=[f"result/{name}"],
        groupby=_panel_group(content),
        groupby_aggfunc=aggregate,
        groupby_rangefunc=band,
        max_bars_to_show=MAX_GROUPS,
    )


def _panel_group(content: Content) -> str | None:
    """None where one key is not enough: the panel then follows the grouping of its run set."""
    return None if content.splits else "Group"


def _text(wr: Any, markdown: str) -> Any:
    return wr.MarkdownPanel(markdown=markdown)


def _placed(wr: Any, panels: Sequence[Any], columns: int) -> list[Any]:
    """Panels of a grid in a report, row by row."""
    width = GRID_WIDTH // columns
    for place, panel in enumerate(panels):
        row, column = divmod(place, columns)
        panel.layout = wr.Layout(x=column * width, y=row * PANEL_HEIGHT, w=width, h=PANEL_HEIGHT)
    return list(panels)
