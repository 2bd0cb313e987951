"""Two arms end with the same score, within a margin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from initsuite.errors import check_number
from initsuite.literature.criteria.base import OfOneMeasure, by_range
from initsuite.literature.criteria.score import paired
from initsuite.literature.criteria.student import Mean
from initsuite.literature.evidence import Evidence
from initsuite.literature.verdict import Finding


@dataclass(frozen=True)
class NoDifference(OfOneMeasure):
    """The mean of the paired differences of scores lies within `margin` of 0, by two one-sided tests.

    Reproduced where both of Student's tests reject; not reproduced where one shows a larger difference.

    False alarms at the margin with eight seeds: *reproduced* 0.05, *not reproduced* 0.05.

    Args:
        first, second: the cells of the two arms.
        margin: in the unit of the measure, above 0.
        measure: the column.

    References:
        Schuirmann 1987, A comparison of the two one-sided tests procedure and the power approach, J. Pharmacokinetics
        and Biopharmaceutics 15.
    """

    first: Mapping[str, Any]
    second: Mapping[str, Any]
    margin: float
    measure: str = "score"

    def __post_init__(self) -> None:
        check_number("no_difference", "margin", self.margin, above=0)

    def find(self, evidence: Evidence) -> Finding:
        """The mean difference, with its interval."""
        gaps = paired(evidence, self.measure, self.first, self.second)
        stated, unit = f"within {self.margin:g} of 0", f"{self.measure}, difference"
        if len(gaps) < 2:
            return Finding.missing(unit, stated, len(gaps))
        limits = -self.margin, self.margin
        if not np.isfinite(gaps).all():
            return by_range(gaps, *limits, unit, stated)
        mean = Mean.of(gaps)
        return Finding(
            mean.estimate, *mean.interval, unit, stated, mean.inside(*limits), mean.outside(*limits), num=mean.num,
            needed=mean.needed(*limits),
        )  # fmt: skip
