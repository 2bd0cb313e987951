"""What people bring: models of several libraries, each drawn by three laws and judged against what it computes.

The truth is measured on the running model (see `support.truth` and `support.following`, tested in
test_architectures_truth.py). `python -m support.architectures`, in the folder tests, prints the table.
"""

from __future__ import annotations

import pytest

from support.architectures import GROUPS, architectures
from support.verdicts import KEPT, NONLINEARITIES, REFUSED, RIGHT, SILENT, WRONG, Verdict, judge, mean_share, summary

MOST_MISSED = 0.05
"""Of the weights, as the mean over models, and of the nonlinearities."""
QUICK = ("nanogpt", "experts by einsum", "transposed layout", "gated mlp packed", "queries interleaved", "weight norm")


@pytest.mark.parametrize("name", QUICK)
def test_architecture_is_right(name: str) -> None:
    verdict = judge(architectures("by_hand")[name])
    assert verdict.why == []
    assert verdict.share(RIGHT) == 1


@pytest.mark.slow
def test_all_architectures_are_right() -> None:
    """One test, since what is asked of them is asked of their mean; it takes one to two minutes."""
    models = {name: each for group in GROUPS for name, each in architectures(group).items()}
    verdicts = {name: judge(architecture) for name, architecture in models.items()}
    print(summary(verdicts))
    assert len(verdicts) >= 40
    assert _told(verdicts, WRONG, SILENT) == []
    assert mean_share(verdicts, RIGHT) >= 1 - MOST_MISSED, _told(verdicts, KEPT, REFUSED)
    places = [sum(each.nonlinearities.get(kind, 0) for each in verdicts.values()) for kind in NONLINEARITIES]
    assert places[0] >= (1 - MOST_MISSED) * sum(places), _told(verdicts, KEPT, "warned")


def _told(verdicts: dict[str, Verdict], *kinds: str) -> list[str]:
    """What was found of these kinds, by model and tensor."""
    lines = [f"{name}: {line}" for name, verdict in verdicts.items() for line in verdict.why]
    return [line for line in lines if any(kind in line for kind in kinds)]
