"""The figure of a diagnosis: what was measured over the depth of one network, with theory as a line."""

from __future__ import annotations

import textwrap
from typing import Protocol

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from initsuite.report.figures import style
from initsuite.wording import verdict_name

MEASURED, SECOND, THEORY, ILL = "#0072B2", "#D55E00", "#000000", "#AA4499"
_NUM_COLUMNS = 3
_HEIGHT = 1.35
_MARGINS = {"left": 0.5, "right": 0.1, "between_columns": 0.52, "between_rows": 0.7}
NAMED = 6
"""Layers that are named below the panels, evenly spread."""


class Tables(Protocol):
    """What is drawn, in plain tables; `initsuite.signal.diagnosis.Diagnosis` says what is in them.

    Attributes:
        layers: layer, q, q_theory, q_band, c, c_theory, input_share, dead, saturated, gradient_norm, chi_theory, link,
            is_look_up, gradient_to_weight.
        points: the same for each draw.
        histograms: layer, at, density.
        spectrum: singular_value.
        verdicts: verdict, direction, layer.
        subject: the network in words.
    """

    @property
    def layers(self) -> pd.DataFrame: ...
    @property
    def points(self) -> pd.DataFrame: ...
    @property
    def histograms(self) -> pd.DataFrame: ...
    @property
    def spectrum(self) -> pd.DataFrame: ...
    @property
    def verdicts(self) -> pd.DataFrame: ...
    @property
    def subject(self) -> str: ...


def over_depth(found: Tables) -> Figure:
    """Signal, gradient, similarity of two inputs, and units that are off, over the layers; then their distribution,
    and the singular values of the Jacobian or, without these, gradient / weight."""
    with mpl.rc_context(style.STYLE):
        last = _spectrum if len(found.spectrum) else _ratio
        panels = [_signal, _gradient, _similarity, _units, _distribution, last]
        head = _wrapped(f"{found.subject}\n{_in_words(found.verdicts)}")
        note = _wrapped(_note(found.layers))
        top = style.LINE * (style.num_lines(head) + 1) + 0.16
        bottom = style.LINE * (style.num_lines(note) + 2) + 0.32
        margins = style.Margins(top=top, bottom=bottom, **_MARGINS)
        figure, grid = style.grid_of_panels(len(panels), _NUM_COLUMNS, style.PAGE, _HEIGHT, margins)
        for axes, draw in zip(grid, panels, strict=True):
            draw(axes, found)
            if draw is not _spectrum:
                _layer_axis(axes, found)
        width, height = figure.get_size_inches()
        figure.text(0.08 / width, 1 - 0.06 / height, head, ha="left", va="top", weight="bold")
        figure.text(0.5, 0.04 / height, note, ha="center", va="bottom", color="#444444")
        _legend(figure, (0.08 + style.num_lines(note) * style.LINE) / height, found)
    return figure


def _signal(axes: Axes, found: Tables) -> None:
    axes.set_title("mean square of the signal, q")
    _measured(axes, found, "q", MEASURED)
    theory, band = found.layers["q_theory"], found.layers["q_band"]
    numbers = _numbers(found)
    axes.plot(numbers, theory, color=THEORY, linestyle="--", linewidth=0.9)
    axes.fill_between(numbers, theory * np.exp(-2 * band), theory * np.exp(2 * band), color=THEORY, alpha=0.1, lw=0)
    _logarithmic(axes)


def _gradient(axes: Axes, found: Tables) -> None:
    axes.set_title("length of the gradient")
    _measured(axes, found, "gradient_norm", MEASURED)
    axes.plot(_numbers(found), gradient_theory(found.layers), color=THEORY, linestyle="--", linewidth=0.9)
    _logarithmic(axes)


def gradient_theory(layers: pd.DataFrame) -> np.ndarray:
    """The lengths that theory expects, [layer], from the measured one of the last layer of each chain back.

    The square grows by chi_1 from a layer to the one before it. NaN where theory does not apply.
    """
    place = {name: number for number, name in enumerate(layers["layer"])}
    following = {place[link]: number for number, link in enumerate(layers["link"]) if link in place}
    chi, measured = layers["chi_theory"].to_numpy(float), layers["gradient_norm"].to_numpy(float)
    lengths = np.full(len(layers), np.nan)
    for number in reversed(range(len(layers))):
        after = following.get(number)
        if after is None or np.isnan(chi[number]):
            continue
        start = measured[after] if np.isnan(lengths[after]) else lengths[after]
        lengths[after] = start
        lengths[number] = start * np.sqrt(chi[number])
    return lengths


def _similarity(axes: Axes, found: Tables) -> None:
    axes.set_title("correlation of two inputs, c (blue);\nshare differing by input (orange)")
    _measured(axes, found, "c", MEASURED)
    _measured(axes, found, "input_share", SECOND)
    axes.plot(_numbers(found), found.layers["c_theory"], color=THEORY, linestyle="--", linewidth=0.9)
    least = found.points["c"].min()  # negative where two inputs are opposed
    _shares(axes, least if np.isfinite(least) else 0.0)


def _units(axes: Axes, found: Tables) -> None:
    axes.set_title("units that are off for all inputs (blue);\nsaturated entries (orange)")
    _measured(axes, found, "dead", MEASURED)
    _measured(axes, found, "saturated", SECOND)
    _shares(axes)


def _shares(axes: Axes, least: float = 0.0) -> None:
    axes.set_ylim(min(least, 0.0) - 0.03, 1.03)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])


def _distribution(axes: Axes, found: Tables) -> None:
    """One column per layer, the darker the denser."""
    axes.set_title("pre-activations / their root mean square")
    names = list(found.layers["layer"])
    table = found.histograms.pivot(index="at", columns="layer", values="density").reindex(columns=names)
    if table.empty:
        return
    step = float(np.diff(table.index[:2])[0])
    edges = (0.5, len(names) + 0.5, float(table.index[0]) - step / 2, float(table.index[-1]) + step / 2)
    most = float(np.nanquantile(table.to_numpy(float), 0.99)) or 1.0
    axes.imshow(table.to_numpy(float), extent=edges, origin="lower", aspect="auto", cmap="Blues", vmin=0, vmax=most)
    axes.set_yticks([-2, 0, 2], ["-2", "0", "2"])
    axes.grid(visible=False)


def _spectrum(axes: Axes, found: Tables) -> None:
    axes.set_title("singular values of the Jacobian")
    values = found.spectrum["singular_value"].to_numpy(float)
    axes.plot(np.arange(1, len(values) + 1), values, "o", color=MEASURED, markersize=2.2, markeredgewidth=0)
    axes.set_xlabel("rank")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    _logarithmic(axes)


def _ratio(axes: Axes, found: Tables) -> None:
    axes.set_title("|gradient of the weight| / |weight|")
    _measured(axes, found, "gradient_to_weight", MEASURED)
    _logarithmic(axes)


def _measured(axes: Axes, found: Tables, column: str, shade: str) -> None:
    """Draws as points, their mean as a line."""
    if column not in found.points or found.layers[column].isna().all():
        return
    numbers = dict(zip(found.layers["layer"], _numbers(found), strict=True))
    at = found.points["layer"].map(numbers)
    axes.plot(at, _finite(found.points[column]), ".", color=shade, markersize=2.5, markeredgewidth=0, alpha=0.45)
    axes.plot(_numbers(found), _finite(found.layers[column]), color=shade, linewidth=1.1, marker="o", markersize=1.6)


def _finite(values: pd.Series) -> pd.Series:
    return values.where(np.isfinite(values))


def _numbers(found: Tables) -> np.ndarray:
    return np.arange(1, len(found.layers) + 1)


def _logarithmic(axes: Axes) -> None:
    """A log axis of a decade at least; one without a positive number says that all are 0."""
    for line in axes.get_lines():
        values = np.asarray(line.get_ydata(), dtype=float)
        line.set_ydata(np.where(np.isfinite(values) & (values > 0), values, np.nan))
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()] or [np.zeros(0)])
    positive = drawn[~np.isnan(drawn)]
    if not len(positive):
        axes.text(0.5, 0.5, "0 in all layers", transform=axes.transAxes, ha="center", va="center")
        axes.set_yticks([])
        return
    low, high = np.log10(positive.min()), np.log10(positive.max())
    spare = max(0.08 * (high - low), (1 - (high - low)) / 2, 0.1)
    axes.set_yscale("log")
    axes.set_ylim(10 ** max(low - spare, -300), 10 ** min(high + spare, 300))
    if high - low + 2 * spare < 2:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _layer_axis(axes: Axes, found: Tables) -> None:
    """The number of the layer, and where illnesses begin."""
    count = len(found.layers)
    axes.set_xlim(0.5, count + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(min(6, max(count, 2)), integer=True))
    axes.set_xlabel("layer")
    place = dict(zip(found.layers["layer"], _numbers(found), strict=True))
    for name in found.verdicts["layer"]:
        if name in place:
            axes.axvline(place[name], color=ILL, linewidth=0.8, linestyle=":")


def _legend(figure: Figure, height: float, found: Tables) -> None:
    has_theory, is_ill = found.layers["q_theory"].notna().any(), (found.verdicts["layer"] != "").any()
    entries = [("mean over the draws", Line2D([], [], color=MEASURED, linewidth=1.1))]
    entries.append(("one draw", Line2D([], [], color=MEASURED, marker=".", linestyle="", alpha=0.6)))
    if has_theory:
        theory = Line2D([], [], color=THEORY, linestyle="--", linewidth=0.9)
        entries.append(("mean-field theory (band: 2 standard deviations)", theory))
    if is_ill:
        entries.append(("an illness begins", Line2D([], [], color=ILL, linestyle=":", linewidth=0.8)))
    names, lines = zip(*entries, strict=True)
    spacing = {"borderpad": 0, "borderaxespad": 0, "columnspacing": 1.4}
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, height), "ncols": len(entries)}
    figure.legend(lines, names, frameon=False, **place, **spacing)


def _in_words(verdicts: pd.DataFrame) -> str:
    names = [
        verdict_name(row["verdict"], row["direction"]) + (f" from {row['layer']}" if row["layer"] else "")
        for row in verdicts.to_dict("records")
    ]
    return "; ".join(names)


def _note(layers: pd.DataFrame) -> str:
    """Which layers the numbers are."""
    names = list(layers["layer"])
    chosen = sorted({round(place * (len(names) - 1) / max(NAMED - 1, 1)) for place in range(NAMED)} if names else set())
    return "Layers in the order of use: " + ", ".join(f"{place + 1}\xa0=\xa0{names[place]}" for place in chosen) + "."


def _wrapped(text: str) -> str:
    """Lines as wide as the page, none broken within a word."""
    letters = int((style.PAGE - 0.2) / style.LETTER)
    return "\n".join(
        textwrap.fill(line, letters, break_long_words=False, break_on_hyphens=False) for line in text.split("\n")
    )
