"""What the choice of an initializer is worth, as people read it."""

from __future__ import annotations

import math

import pandas as pd

from initsuite.report.formatting import BLANK, Cell, format_difference, format_ratio
from initsuite.report.text.display import interval_of, people_table, records
from initsuite.report.verdicts.comparison import BASELINE
from initsuite.report.verdicts.views import Views
from initsuite.report.verdicts.worth_summary import worth_in_words

WORTH_TITLE = "What the choice of initializer is worth"
WORTH_CAPTION = (
    "Best and worst are the initializers with the highest and the lowest mean final validation score; differences are "
    "those of test scores, paired by seed, with Student's interval. Fastest and slowest are the first and the last of "
    "the recommendations; a factor says how many times the steps of the fastest one are taken: the median over seeds, "
    "with the interval of order statistics; never, where the slower one misses the target. Intervals hold for all "
    "pairs of initializers at once (Bonferroni), as the first and the last of many differ by chance alone. Decades of "
    "learning rates that train, from the widest window to the narrowest, have no interval."
)


def worth_words(views: Views) -> str:
    """The answer in a few sentences; "" where no network was trained with and without a norm by two optimizers."""
    return worth_in_words(views.worth_summary)


def worth_lines(views: Views) -> list[str]:
    """The answer for each network and optimizer; none where `worth_words` says nothing."""
    return [f"{answer.network}, {name}: {words}" for answer in views.worth_answers for name, words in answer.lines]


def worth_for_people(worth: pd.DataFrame) -> pd.DataFrame:
    """One row per context, in cells.

    Args:
        worth: as `worth_table` makes it.
    """
    return people_table(
        {
            "network": row["network"],
            "norm": row["norm"],
            "optimizer": row["optimizer"],
            "best, worst": f"{row['best']}, {row['worst']}",
            "best against worst": _difference(row, "score"),
            f"best other against {BASELINE}": _difference(row, "score_over_default"),
            "fastest, slowest": f"{row['fastest']}, {row['slowest']}" if row["level"] else BLANK,
            "slowest takes": format_ratio(interval_of(row, "steps")),
            f"{BASELINE} takes": format_ratio(interval_of(row, "steps_over_default")),
            "decades of lr": _windows(row),
        }
        for row in records(worth)
    )


def _difference(row: dict[str, object], name: str) -> Cell:
    found = interval_of(row, name)
    return BLANK if math.isnan(found.estimate) else Cell(found.estimate, format_difference(found, str(row["metric"])))


def _windows(row: dict[str, object]) -> Cell:
    widest, narrowest = float(str(row["widest_decades"])), float(str(row["narrowest_decades"]))
    if math.isnan(widest):
        return BLANK
    text = f"{widest:g} ({row['widest']}) to {narrowest:g} ({row['narrowest']})"
    default = float(str(row["default_decades"]))
    return Cell(widest - narrowest, text, "" if math.isnan(default) else f"{BASELINE} {default:g}")
