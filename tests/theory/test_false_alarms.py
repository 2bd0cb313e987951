"""Networks that people train as they are: how many of them are called ill."""

from __future__ import annotations

import warnings

import pytest

import initsuite
from support.zoo import Case, healthy

ALARMS = {"alexnet", "resnet", "timm cait_xxs24_224", "timm edgenext_xx_small"}
"""Those that are called ill; docs/diagnosis.md says why."""
CASES = list(healthy())


def test_about_40_networks_are_looked_at() -> None:
    assert len(CASES) >= 40
    assert {case.name for case in CASES} > ALARMS


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_healthy_networks_are_called_healthy(case: Case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = initsuite.diagnose(case.make, case.example, draws=2, **case.options)
    assert found.is_healthy == (case.name not in ALARMS), found.sentences()
