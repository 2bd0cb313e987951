"""How well step 0 predicts training, as a forest plot: measures of step 0 beside predictors without a pass."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from initsuite.report.figures import style

KIND_COLOURS = {"combined": "#0072B2", "measure": "#444444", "naive": "#D55E00", "ceiling": "#009E73"}
"""Of the kinds of predictors, distinguishable with every colour blindness."""
KINDS = {
    "combined": "several, weighted",
    "measure": "a measure of step 0",
    "naive": "without a pass",
    "ceiling": "the trials themselves",
}
OUTCOMES = {"speed": "speed at the tuned learning rate", "score": "test score at the tuned learning rate"}
_ROW = 0.16
_NOTE = (
    "Circle: Spearman's rank correlation with the order in which the initializers trained, the mean over workloads. "
    "Line: its 95 % interval, by a bootstrap over networks. Small marks: the mean of each network."
)


def prediction_figure(table: pd.DataFrame) -> Figure:
    """The rank correlation of each predictor with speed and with the test score.

    Args:
        table: the rows of a prediction (`signal.prediction`): predictor, kind, outcome, among, network, correlation,
            low, high.
    """
    rows = table[table["among"] == "all"]
    pooled = rows[rows["network"] == "all"]
    order = pooled[pooled["outcome"] == "speed"].copy()
    order["place"] = order["kind"].map({kind: place for place, kind in enumerate(KIND_COLOURS)})
    order = order.sort_values(["place", "correlation"], ascending=[True, False])
    names = dict(zip(order["predictor"], order["kind"], strict=True))
    with mpl.rc_context(style.STYLE):
        margins = style.Margins(1.55, 0.12, 0.28, 0.36 + style.legend_height(list(KINDS), _NOTE, style.PAGE), 0.2)
        figure, panels = style.grid_of_panels(2, 2, style.PAGE, _ROW * len(names), margins)
        for axes, (outcome, title) in zip(panels, OUTCOMES.items(), strict=True):
            _panel(axes, rows[rows["outcome"] == outcome], names)
            axes.set_title(title)
        panels[1].tick_params(labelleft=False)
        _legend(figure)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, names: dict[str, str]) -> None:
    places = {name: place for place, name in enumerate(names)}
    axes.axvline(0, color="#444444", linewidth=0.8, linestyle=(0, (4, 3)))
    for row in rows.to_dict("records"):
        place, shade = places.get(str(row["predictor"])), KIND_COLOURS[str(row["kind"])]
        if place is None:
            continue
        correlation, low, high = (float(row[name]) for name in ("correlation", "low", "high"))
        if row["network"] != "all":
            axes.plot([correlation], [place], "|", color=shade, markersize=4, alpha=0.45)
            continue
        axes.plot([low, high], [place, place], color=shade, linewidth=1.4)
        axes.plot([correlation], [place], "o", color=shade, markersize=4, markeredgewidth=0)
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(-1.02, 1.02)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("rank correlation")


def _legend(figure: Figure) -> None:
    style.add_legend(figure, [], _NOTE)
    width, height = figure.get_size_inches()
    lines = style.num_lines(style.wrapped(_NOTE, width - 0.2))
    for place, (kind, text) in enumerate(KINDS.items()):
        left = 0.12 + place * (width - 0.2) / len(KINDS)
        figure.text(left / width, (0.08 + lines * style.LINE) / height, f"● {text}", color=KIND_COLOURS[kind],
                    va="bottom")  # fmt: skip
