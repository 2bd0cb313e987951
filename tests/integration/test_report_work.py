"""How the work of a report grows with its store: counted in function calls, which are the same on a busy machine."""

from __future__ import annotations

import cProfile
import io
import pstats
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from initsuite.report.page.html import html_page
from initsuite.report.text.documents import markdown, report_parts
from initsuite.report.text.terminal import print_report
from initsuite.report.verdicts.recommendations import build_report
from initsuite.report.verdicts.views import Views
from initsuite.results.sources import load_results
from initsuite.results.store import Store
from support.planter import Planter

CONTEXTS = 4
FLAT = 1.1
"""Calls that a third lot of contexts adds, over those that the second adds: 1 if linear, 5/3 if quadratic."""


def planted(folder: Path, num_contexts: int) -> Path:
    for number in range(num_contexts):
        depth = 2 + number
        model = {"name": "mlp", "depth": depth, "width": 64}
        planter = Planter(Store(folder), model=f"mlp-{depth}x64", depth=depth)
        planter.config["model"] = model
        for place, init in enumerate(("he", "xavier", "zero", "torch_default")):
            planter.arm(init, [100.0 + 40 * place + 20 * seed for seed in range(4)])
    return folder


def calls(work: Callable[[], object]) -> int:
    profile = cProfile.Profile()
    profile.runcall(work)
    return pstats.Stats(profile, stream=io.StringIO()).total_calls  # type: ignore[attr-defined]


def report(folder: Path) -> None:
    views = Views(build_report(load_results(folder)))
    print_report(views, Console(file=io.StringIO()))
    markdown(report_parts(views, {}))
    html_page(views)


def growth(work: Callable[[int], object]) -> float:
    """The calls that the third part of the work adds, over those that the second part adds."""
    first, second, third = (calls(lambda n=n: work(n * CONTEXTS)) for n in (1, 2, 3))
    return (third - second) / (second - first)


@pytest.mark.slow
def test_a_report_is_linear_in_its_trials(tmp_path: Path) -> None:
    folders = {n * CONTEXTS: planted(tmp_path / str(n), n * CONTEXTS) for n in (1, 2, 3)}
    report(folders[CONTEXTS])  # imports, and what is read once
    assert growth(lambda number: report(folders[number])) < FLAT


def test_growth_is_flat_for_linear_work_alone() -> None:
    assert growth(lambda n: [abs(i) for i in range(100 * n)]) == pytest.approx(1.0, abs=0.01)
    assert growth(lambda n: [abs(i) for i in range(n * n)]) > 1.5
