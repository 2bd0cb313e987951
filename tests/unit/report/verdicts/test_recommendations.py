"""The window of learning rates that train."""

from __future__ import annotations

import pytest

from initsuite.report.verdicts.recommendations import lr_window
from support.arms import arm, context


@pytest.mark.parametrize(
    ("scores", "window"),
    [
        ({0.01: 0.5, 0.1: 0.8, 1.0: 0.1}, (0.01, 0.1)),
        ({0.001: 0.5, 0.01: 0.1, 0.1: 0.8, 1.0: 0.6}, (0.1, 1.0)),
        ({0.01: 0.1, 0.1: 0.1}, None),
        ({0.01: 0.5}, None),
        ({}, None),
    ],
    ids=["edge", "hole", "none trains", "best was not tuned", "one lr for all"],
)
def test_lr_window(scores: dict[float, float], window: tuple[float, float] | None) -> None:
    assert lr_window(context(), arm("a", [], scores=scores)) == window
