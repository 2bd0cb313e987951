"""What criteria share."""

from __future__ import annotations

import math

import numpy as np

from initsuite.literature.verdict import Finding, Verdict


class OfOneMeasure:
    """A criterion that reads one column, `measure`."""

    measure: str

    @property
    def measures(self) -> list[str]:
        """The columns that it reads."""
        return [self.measure]


def by_range(values: np.ndarray, low: float, high: float, unit: str, stated: str) -> Finding:
    """What is found where a value is not finite: there is no mean, but all values may be on one side of the limits.

    Reproduced where all are between them, not reproduced where all are beyond. What is not a number, such as the ratio
    of two infinite ones, is on neither side, so that nothing is decided.
    """
    inside, outside = (values >= low) & (values <= high), (values < low) | (values > high)
    rule = Verdict.REPRODUCED if inside.all() else Verdict.NOT_REPRODUCED if outside.all() else Verdict.INCONCLUSIVE
    known = values[~np.isnan(values)]
    middle, least, most = (np.median(known), known.min(), known.max()) if len(known) else [math.nan] * 3
    unit = f"{unit}, median and range"
    return Finding(float(middle), float(least), float(most), unit, stated, num=len(values), rule=rule)
