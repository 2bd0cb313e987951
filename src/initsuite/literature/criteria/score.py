"""One arm ends with a better score than the other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from initsuite.errors import check_number
from initsuite.literature.criteria.base import OfOneMeasure, by_range
from initsuite.literature.criteria.student import Mean
from initsuite.literature.evidence import Evidence
from initsuite.literature.verdict import Finding
from initsuite.stats.pairwise import sign_flip_test


@dataclass(frozen=True)
class Score(OfOneMeasure):
    """The mean of the paired differences of scores is at least `minimum`.

    Reproduced by the sign-flip test of the differences by seed, one-sided, if their mean is as large as stated; not
    reproduced where it is smaller (Student's test, one-sided). Both arms see the same batches with the same seed. Where
    an arm is several cells, the difference is that of their means.

    False alarms with eight seeds: *reproduced* where there is no difference and any is stated: 0.047; *not reproduced*
    where it is as stated: 0.05.

    Args:
        better, worse: the cells of the two arms.
        minimum: in the unit of the measure, from 0.
        measure: a column, higher is better.
    """

    better: Mapping[str, Any]
    worse: Mapping[str, Any]
    minimum: float
    measure: str = "score"

    def __post_init__(self) -> None:
        check_number("score", "minimum", self.minimum, minimum=0)

    def find(self, evidence: Evidence) -> Finding:
        """The mean difference, with its interval."""
        gaps = paired(evidence, self.measure, self.better, self.worse)
        stated, unit = f"at least {self.minimum:g} better", f"{self.measure}, difference"
        if len(gaps) < 2:
            return Finding.missing(unit, stated, len(gaps))
        if not np.isfinite(gaps).all():
            return by_range(gaps, self.minimum, math.inf, unit, stated)
        mean = Mean.of(gaps)
        two_sided = sign_flip_test(gaps, rng=np.random.default_rng(0))
        p = two_sided / 2 if mean.estimate > 0 else 1 - two_sided / 2
        return Finding(
            mean.estimate, *mean.interval, unit, stated, p, mean.below(self.minimum), mean.estimate >= self.minimum,
            mean.num, mean.needed(self.minimum),
        )  # fmt: skip


def paired(evidence: Evidence, measure: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> np.ndarray:
    """The differences of two arms on the seeds that both have, [seed]; NaN between two infinite values."""
    arms = evidence.by_seed(measure, first).align(evidence.by_seed(measure, second), join="inner")
    return (arms[0] - arms[1]).to_numpy(float)
