"""The figure of a claim: a measure over an axis, an arm a line, the draws or seeds as points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from initsuite.errors import StoreError
from initsuite.literature.claim import Claim
from initsuite.literature.evidence import Evidence
from initsuite.literature.judging import Stored
from initsuite.literature.trained import MEASURES
from initsuite.report.colours import colour
from initsuite.report.figures.style import STYLE

SIZE = (4.2, 3.0)
"""Inches."""
RESOLUTION = 200
"""Dots per inch."""


def draw(claim: Claim, stored: Stored, folder: Path) -> str:
    """Write figure.png into the folder of a claim; returns its path, "" where there is no evidence or no figure.

    Raises:
        StoreError: the file cannot be written.
    """
    wanted = claim.figure
    if not wanted:
        return ""
    evidence = stored.trials if wanted["y"] in MEASURES else stored.starts
    points = _points(evidence, wanted["x"], wanted["y"], wanted["by"])
    if points.empty:
        return ""
    with mpl.rc_context(STYLE):
        figure = Figure(SIZE, layout="constrained")
        _fill(figure.add_subplot(), points, wanted)
        path = folder / "figure.png"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=RESOLUTION)
        except OSError as error:
            raise StoreError(f"claims: cannot write `{path}`: {error.strerror or error}. Expected a folder that can be "
                             "written.") from error  # fmt: skip
    return str(path)


def _points(evidence: Evidence, x: str, y: str, by: str) -> pd.DataFrame:
    """x, y and by of each row, finite."""
    if evidence.rows.empty or y not in evidence.rows.columns:
        return pd.DataFrame()
    rows = evidence.rows[np.isfinite(evidence.rows[y].astype(float))]
    columns = {name: [evidence.facts[cell].get(key) for cell in rows["cell"]] for name, key in (("x", x), ("by", by))}
    return pd.DataFrame({**columns, "y": rows[y].astype(float).to_numpy()}).dropna(subset=["x"])


def _fill(axes: Axes, points: pd.DataFrame, wanted: Mapping[str, Any]) -> None:  # type: ignore[type-arg]
    is_number = pd.api.types.is_numeric_dtype(points["x"]) and not pd.api.types.is_bool_dtype(points["x"])
    if not is_number:
        names = list(dict.fromkeys(map(str, points["x"])))
        points = points.assign(x=[names.index(str(value)) for value in points["x"]])
        axes.set_xticks(range(len(names)), names)
    found = points["by"].dropna().unique()
    arms = [str(arm) for arm in sorted(found, key=lambda arm: (isinstance(arm, str), arm))]
    for place, arm in enumerate(arms):
        own = points[points["by"].map(str) == arm]
        shade = colour(arm) if wanted["by"] == "init" else f"C{place}"
        shift = 0.0 if is_number else 0.08 * (place - (len(arms) - 1) / 2)
        axes.plot(own["x"] + shift, own["y"], "o", ms=2, alpha=0.35, color=shade)
        means = own.groupby("x")["y"].mean()
        axes.plot(means.index + shift, means, "-" if is_number else "_", ms=14, color=shade, label=arm)
    if wanted.get("logs"):  # a draw that is not above 0 is left out
        axes.set_yscale("log", nonpositive="mask")
        if is_number and (points["x"] > 0).all():
            axes.set_xscale("log")
            axes.set_xticks(sorted(points["x"].unique()))
            axes.minorticks_off()
            axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(str(wanted["x"]))
    axes.set_ylabel(str(wanted["y"]))
    if len(arms) > 1:
        axes.legend(title=str(wanted["by"]), frameon=False)
