"""Figures over all contexts: performance profiles, tuning budget, aggregates, mean ranks."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from initsuite.report.colours import colour
from initsuite.report.figures import style
from initsuite.report.formatting import format_p
from initsuite.report.verdicts.across import Ranks
from initsuite.report.verdicts.views import Views
from initsuite.wording import format_count

_PLOT_HEIGHT = 1.9
_BAR_STEP, _NAME_ROW = 0.085, 0.15
"""Distances in the critical-difference diagram, from bar to bar and from name to name, inches."""
_RANK_COLUMNS = ["init", "mean_rank", "groups", "critical_difference", "p_friedman", "num_contexts"]


def profiles(views: Views) -> style.Drawing | None:
    """Share of contexts in which an initializer needs at most tau times the steps of the fastest one."""
    data = views.profiles
    if data.empty:
        return None
    note = (
        f"Over {format_count(int(data.num_contexts.iloc[0]), 'context')}: the median steps to the ranking level "
        "against those of the fastest initializer."
    )
    label = "steps at most this many times the fastest"
    figure, axes = _lines(data, "tau", "share", label, "share of contexts", note, is_step=True)
    axes.set_xlim(data.tau.min(), data.tau.max())
    axes.set_ylim(-0.02, 1.02)
    return style.Drawing("profiles", [figure], data.rename(columns={"tau": "tau [times the fastest]"}), note)


def tuning_budget(views: Views) -> style.Drawing | None:
    """Expected best validation score after some of the grid's learning rates."""
    data = views.tuning_budget
    if data.empty:
        return None
    note = (
        f"Mean over {views.block.size}; 0 is chance, 1 the hard level or the best there is. The learning rates are "
        "tried in random order."
    )
    label = "expected best validation score"
    figure, axes = _lines(data, "num_lrs", "score", "learning rates tried", label, note)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return style.Drawing("tuning_budget", [figure], data.rename(columns={"score": "score [normalised]"}), note)


def aggregates(views: Views) -> style.Drawing | None:
    """Interquartile mean and optimality gap of the normalised test scores, with their intervals."""
    data = views.aggregates
    if data.empty:
        return None
    names = [str(name) for name in data.init]
    note = (
        f"Test scores over {views.block.size}, 0 chance and 1 the hard level or the best there is; 95 % intervals of "
        "a bootstrap over seeds. Best mean rank first."
    )
    bottom = 0.36 + style.legend_height([], note, style.COLUMN)
    margins = style.Margins(style.name_width(names), 0.16, style.LINE + 0.08, bottom, 0.15)
    figure, grid = style.grid_of_panels(2, 2, style.COLUMN, 0.1 + 0.16 * len(names), margins)
    labels = {"iqm": "interquartile mean", "optimality_gap": "optimality gap"}
    for axes, (measure, label) in zip(grid, labels.items(), strict=True):
        for place, row in enumerate(data.itertuples()):
            name, value = str(row.init), getattr(row, measure)
            ends = [getattr(row, f"{measure}_low"), getattr(row, f"{measure}_high")]
            axes.plot(ends, [place, place], color=colour(name), linewidth=1.4)
            axes.plot(value, place, style.marker(name), color=colour(name), markersize=4, markeredgewidth=0)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2.5, 5, 10]))
        axes.set_title(label)
        axes.set_xlabel("higher is better" if measure == "iqm" else "lower is better")
        axes.set_yticks(range(len(names)), [style.short(name) for name in names] if axes is grid[0] else [])
    style.add_legend(figure, [], note)
    units = {name: f"{name} [normalised]" for name in data.columns if name.startswith(("iqm", "optimality"))}
    return style.Drawing("aggregates", [figure], data.rename(columns=units), note)


def critical_difference(views: Views) -> style.Drawing | None:
    """Mean ranks on an axis; a bar joins initializers that the Nemenyi test cannot distinguish."""
    ranks = views.ranks
    if ranks is None:
        return None
    names = list(ranks.mean_ranks)
    side = style.name_width(names) + 0.4
    bars = 0.1 + _BAR_STEP * len(ranks.cliques)
    below = bars + _NAME_ROW * math.ceil(len(names) / 2) + 0.05
    note = (
        f"Mean rank over {ranks.num_contexts} contexts, 1 is best. A bar joins initializers that differ by less than "
        f"the critical difference (CD, Nemenyi, 95 %). Friedman (Iman-Davenport): {format_p(ranks.friedman.p_f)}."
    )
    margins = style.Margins(side, side, 0.42, below + 0.05 + style.legend_height([], note, style.PAGE))
    figure, (axes,) = style.grid_of_panels(1, 1, style.PAGE, 0.001, margins)
    inch = (len(names) - 1) / (style.PAGE - 2 * side)  # in ranks
    axes.set_axis_off()
    # One data unit of y is one inch, downwards from the axis.
    axes.set_xlim(1, len(names))
    axes.set_ylim(0.001, 0)
    _draw_rank_axis(axes, ranks)
    _draw_ranks(axes, ranks, bars, 0.12 * inch)
    for place, group in enumerate(ranks.cliques):
        spanned = [ranks.mean_ranks[name] for name in group]
        ends = [min(spanned) - 0.03 * inch, max(spanned) + 0.03 * inch]
        y = 0.085 + _BAR_STEP * place
        axes.plot(ends, [y, y], color="#222222", linewidth=2.4, solid_capstyle="butt", clip_on=False, zorder=5)
    style.add_legend(figure, [], note)
    return style.Drawing("critical_difference", [figure], _ranks_table(ranks), note)


def _draw_rank_axis(axes: Axes, ranks: Ranks) -> None:
    """From rank 1 to the last one, with the length of the critical difference above."""
    last = len(ranks.mean_ranks)
    line = {"color": "#444444", "linewidth": 0.8, "clip_on": False}
    axes.plot([1, last], [0, 0], **line)
    for rank in range(1, last + 1):
        axes.plot([rank, rank], [0, -0.05], **line)
        axes.text(rank, -0.07, str(rank), ha="center", va="bottom")
    end = min(1 + ranks.critical_difference, last)
    axes.plot([1, end], [-0.25, -0.25], **line)
    for at in (1, end):
        axes.plot([at, at], [-0.22, -0.28], **line)
    longer = " (longer than the axis)" if 1 + ranks.critical_difference > last else ""
    axes.text((1 + end) / 2, -0.28, f"CD {ranks.critical_difference:z.2f}{longer}", ha="center", va="bottom")


def _draw_ranks(axes: Axes, ranks: Ranks, top: float, beyond: float) -> None:
    """The better half of the names on the left, the others on the right, `beyond` ranks past the ends of the axis."""
    last = len(ranks.mean_ranks)
    for place, (name, rank) in enumerate(ranks.mean_ranks.items()):
        is_left = place < math.ceil(last / 2)
        y = top + _NAME_ROW * ((place if is_left else last - 1 - place) + 0.5)
        edge = 1 - beyond if is_left else last + beyond
        axes.plot([rank, rank, edge], [0, y, y], color=colour(name), linewidth=0.9, clip_on=False)
        axes.plot(rank, 0, style.marker(name), color=colour(name), markersize=3.5, markeredgewidth=0, clip_on=False)
        text = f"{style.short(name)}  {rank:z.2f}" if is_left else f"{rank:z.2f}  {style.short(name)}"
        axes.text(edge, y, f" {text} ", ha="right" if is_left else "left", va="center")


def _ranks_table(ranks: Ranks) -> pd.DataFrame:
    rows = []
    for name, rank in ranks.mean_ranks.items():
        groups = " ".join(str(place + 1) for place, group in enumerate(ranks.cliques) if name in group)
        rows.append((name, rank, groups, ranks.critical_difference, ranks.friedman.p_f, ranks.num_contexts))
    return pd.DataFrame(rows, columns=_RANK_COLUMNS)


def _lines(
    data: pd.DataFrame, x: str, y: str, x_label: str, y_label: str, note: str, is_step: bool = False
) -> tuple[Figure, Axes]:
    """One column wide, one line per initializer: of steps, or between markers."""
    drawstyle = "steps-post" if is_step else "default"
    names = sorted(set(data.init))
    margins = style.Margins(0.45, 0.1, 0.08, 0.36 + style.legend_height(names, note, style.COLUMN))
    figure, (axes,) = style.grid_of_panels(1, 1, style.COLUMN, _PLOT_HEIGHT, margins)
    for name in names:
        arm = data[data.init == name]
        axes.plot(arm[x], arm[y], drawstyle=drawstyle, **style.look(name, has_marker=not is_step))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    style.add_legend(figure, names, note, has_marker=not is_step)
    return figure, axes
