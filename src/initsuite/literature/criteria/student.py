"""Student's tests of a mean, which several criteria share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from initsuite.literature.verdict import ALPHA


@dataclass(frozen=True)
class Mean:
    """A mean with its standard error.

    Attributes:
        estimate: the mean.
        error: its standard error, 0 where all values are equal.
        freedom: degrees of freedom.
        num: values of the smallest sample.
    """

    estimate: float
    error: float
    freedom: float
    num: int

    @classmethod
    def of(cls, values: np.ndarray) -> Mean:
        """Of one sample."""
        n = len(values)
        error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 and np.ptp(values) > 0 else 0.0
        return cls(float(values.mean()), error, n - 1.0, n)

    @classmethod
    def difference(cls, first: np.ndarray, second: np.ndarray) -> Mean:
        """Of two independent samples of unequal variances (Welch)."""
        parts = [cls.of(first), cls.of(second)]
        squares = [part.error**2 for part in parts]
        total = sum(squares)
        freedom = total**2 / sum(s * s / part.freedom for s, part in zip(squares, parts, strict=True)) if total else 1.0
        return cls(parts[0].estimate - parts[1].estimate, math.sqrt(total), freedom, min(part.num for part in parts))

    @property
    def interval(self) -> tuple[float, float]:
        """At 95 %."""
        half = self._half() if self.error else 0.0
        return self.estimate - half, self.estimate + half

    def _half(self) -> float:
        return float(scipy.stats.t.ppf(1 - ALPHA / 2, self.freedom)) * self.error

    def above(self, limit: float) -> float:
        """One-sided p-value of a mean this far above `limit`, where it is at most that."""
        if math.isinf(limit):
            return 0.0 if limit < 0 else 1.0
        if self.error == 0:
            return 0.0 if self.estimate > limit else 1.0
        return float(scipy.stats.t.sf((self.estimate - limit) / self.error, self.freedom))

    def below(self, limit: float) -> float:
        """The same of a mean below it."""
        if math.isinf(limit):
            return 0.0 if limit > 0 else 1.0
        if self.error == 0:
            return 0.0 if self.estimate < limit else 1.0
        return float(scipy.stats.t.cdf((self.estimate - limit) / self.error, self.freedom))

    def inside(self, low: float, high: float) -> float:
        """p-value of a mean between two limits, where it is not: the larger of two one-sided tests."""
        return max(self.above(low), self.below(high))

    def outside(self, low: float, high: float) -> float:
        """p-value of a mean beyond the nearer of two limits, where it is between them."""
        return min(self.below(low), self.above(high))

    def needed(self, *limits: float) -> int | None:
        """With how many values the interval would be clear of the nearest limit, the estimate being true."""
        distance = min((abs(self.estimate - limit) for limit in limits if math.isfinite(limit)), default=math.inf)
        if distance == 0 or self.error == 0 or math.isinf(distance):
            return None
        return max(self.num + 1, math.ceil(self.num * (self._half() / distance) ** 2))
