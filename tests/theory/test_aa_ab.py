"""The suite's rule of comparison on arms that are alike, and on arms that are not.

The rule is that of the report: differences paired by seed (of values, or of ranks where some miss), sign flips, Holm,
0.05.
"""

import numpy as np
import pytest
from scipy.stats import rankdata

from initsuite.stats.pairwise import holm, sign_flip_test

ALPHA = 0.05
COMPARISONS = 200
MOST_FALSE_CLAIMS = 18
"""Of 200 at 5 %: a binomial count is above this with a probability of 0.6 %."""
FEWEST_FOUND = 180
"""Of 200. The t test finds 96 % at this effect, where fewer would be seen once in 40,000 times."""


def values(rng: np.random.Generator, law: str, size: int) -> np.ndarray:
    drawn = rng.normal(0.8, 0.05, size)
    return drawn if law == "normal" else np.where(rng.random(size) < 0.2, 0.1, drawn)


def is_called_different(x: np.ndarray, y: np.ndarray, law: str) -> bool:
    """A family of one: the leader against the other arm."""
    places = np.concatenate([x, y]) if law == "normal" else rankdata(np.concatenate([x, y]))
    differences = places[: len(x)] - places[len(x) :]
    return bool(holm([sign_flip_test(differences, rng=np.random.default_rng(0))])[0] <= ALPHA)


def count(rng: np.random.Generator, law: str, n: int, advantage: float = 0.0) -> int:
    """How many of the repeated comparisons call the arms different; the advantage is in the unit of the values."""
    return sum(
        is_called_different(values(rng, law, n) + advantage, values(rng, law, n), law) for _ in range(COMPARISONS)
    )


@pytest.mark.slow
@pytest.mark.parametrize("n", [6, 10])
@pytest.mark.parametrize("law", ["normal", "20 % failures"])
def test_equal_arms_are_rarely_called_different(law: str, n: int) -> None:
    assert count(np.random.default_rng(0), law, n) <= MOST_FALSE_CLAIMS


@pytest.mark.slow
def test_a_planted_difference_is_found() -> None:
    """One standard deviation of an arm, 30 independent pairs, whose differences have the square root of two."""
    assert count(np.random.default_rng(0), "normal", 30, advantage=0.05) >= FEWEST_FOUND


@pytest.mark.slow
def test_arms_that_claim_too_easily_would_be_found() -> None:
    """What the bound rejects: at a level of 15 %, as of three unadjusted comparisons, 200 give 30 false claims."""
    rng = np.random.default_rng(0)
    families = [[sign_flip_test(rng.normal(size=10), rng=rng) for _ in range(3)] for _ in range(COMPARISONS)]
    assert sum(min(family) <= ALPHA for family in families) > MOST_FALSE_CLAIMS
    assert sum(holm(family).min() <= ALPHA for family in families) <= MOST_FALSE_CLAIMS
