"""Drawing from a law, and telling samples of laws apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from scipy import stats
from torch import Tensor, nn

from initsuite.init import as_initializer
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Params

FALSE_ALARM = 1e-4
"""Of each test. At n = 10,000 the chi-square one rejects an error of the std of 5 % in 99.8 % of draws."""


def draw(law: object, build: Callable[[], nn.Module], seed: int = 0) -> Params:
    return draws(law, build, [seed])[0]


def draws(law: object, build: Callable[[], nn.Module], seeds: Iterable[int]) -> list[Params]:
    """What a law draws for each seed; the model, which is the same for all, is described once."""
    model, initializer = skeleton(build), as_initializer(law)
    specs = describe(model)
    return [initializer(model, specs, seed=seed).params for seed in seeds]


def chi_square_p(values: Tensor, variance: float) -> float:
    """Two-sided p value; conservative for tails lighter than the normal law's."""
    assert values.numel() >= 10_000
    statistic = float((values.double() ** 2).sum()) / variance
    return 2 * min(stats.chi2.cdf(statistic, values.numel()), stats.chi2.sf(statistic, values.numel()))


def same_law(ours: Tensor, theirs: Tensor) -> bool:
    """Two samples cannot be distinguished by shape, variance and range."""
    ours, theirs = ours.flatten().double(), theirs.detach().flatten().double()
    assert min(len(ours), len(theirs)) >= 10_000
    if stats.ks_2samp(ours.numpy(), theirs.numpy()).pvalue < FALSE_ALARM:
        return False
    squares, others = ours**2, theirs**2
    spread = math.sqrt(float(squares.var() / len(ours) + others.var() / len(theirs)))
    return abs(float(squares.mean() - others.mean())) < 4 * spread
