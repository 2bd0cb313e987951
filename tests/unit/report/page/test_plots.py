"""What the charts are made of: axes that leave out what would hide the rest, and scales that are named rightly."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from initsuite.report.page.curves import MOST_POINTS, curves_chart, thinned_steps
from initsuite.report.page.dots import scores_chart
from initsuite.report.page.plots import zoomed
from initsuite.report.verdicts.comparison import Comparison
from initsuite.report.verdicts.recommendations import build_report
from initsuite.report.verdicts.views import Views
from initsuite.results.store import Store
from initsuite.stats.intervals import mean_interval
from support.planter import DIVERGED, MISS, STUCK, Planter

FAST = [100.0 + 20 * (seed % 3) for seed in range(8)]
SCORES = [0.86, 0.861, 0.862, 0.863, 0.864, 0.865, 0.866, 0.867]


@pytest.fixture
def views(tmp_path: Path) -> Views:
    store = Store(tmp_path)
    planter = Planter(store)
    planter.arm("he", FAST, scores=SCORES)
    planter.arm("normal", [DIVERGED, *FAST[1:]], scores=SCORES)
    planter.arm("zero", [MISS] * 8, STUCK, easy=False)
    return Views(build_report(store.read()))


def only(views: Views) -> Comparison:
    (comparison,) = views.report.comparisons
    return comparison


def test_an_axis_shows_what_it_should_and_says_what_it_does_not() -> None:
    axis, notes = zoomed([[0.8, 0.9], [0.1, 0.85], [0.1, 0.1]], [0.8, 0.9, 0.85])
    low, high = axis["range"]
    assert low == pytest.approx(0.794)
    assert high == pytest.approx(0.906)
    assert [(note["y"], note["text"], note["xanchor"]) for note in notes] == [
        (1, "← 1 of 2: 0.1", "left"),
        (2, "← 0.1", "left"),
    ]
    beyond = zoomed([[0.2, 0.3], [5.0, 7.0]], [0.2, 0.3])[1]
    assert [(note["text"], note["x"]) for note in beyond] == [("5 to 7 →", 1)]


def test_an_axis_without_anything_to_prefer_shows_all() -> None:
    axis, notes = zoomed([[0.1, 0.1], [0.2]], [])
    assert axis["range"] == pytest.approx([0.094, 0.206])
    assert notes == []
    one = zoomed([[0.5]], [0.5])[0]["range"]
    assert one[0] < 0.5 < one[1], "a single value needs room, too"


def test_scores_are_drawn_with_their_interval(views: Views) -> None:
    figure = scores_chart(only(views))
    middle = {one["meta"]["init"]: one for one in figure["data"] if one["meta"]["role"] == "median"}
    expected = mean_interval(SCORES)
    assert middle["he"]["x"] == [pytest.approx(expected.estimate, rel=1e-4)]
    assert middle["he"]["error_x"]["array"][0] == pytest.approx(expected.high - expected.estimate, rel=1e-3)
    dots = {one["meta"]["init"]: one for one in figure["data"] if one["meta"]["role"] == "dots"}
    assert dots["normal"]["x"] == pytest.approx([0.1, *SCORES[1:]]), "a diverged trial counts as chance"
    low, high = figure["layout"]["xaxis"]["range"]
    assert 0.85 < low < SCORES[0]
    assert SCORES[-1] < high < 0.88
    assert [note["text"] for note in figure["layout"]["annotations"]] == ["← 1 of 8: 0.1", "← 0.11"]


def test_the_stretched_scale_is_named_by_scores(views: Views) -> None:
    comparison = only(views)
    view, *others = curves_chart(comparison, views.bands)["views"]
    assert (view["name"], [other["name"] for other in others]) == ("stretched", ["score", "val_loss", "train_loss"])
    assert view["best"] == views.curves.high.max()
    axis = view["layout"]["yaxis"]
    marks = dict(zip(axis["ticktext"], axis["tickvals"], strict=True))
    assert len(marks) >= 6
    for text, distance in marks.items():
        if distance > 1.01 * view["least"]:
            assert view["best"] - distance == pytest.approx(float(text), abs=1e-4)
    assert marks["0.1"] == pytest.approx(view["best"] - 0.1, rel=1e-4), "chance is the lowest mark"
    high, low = axis["range"]
    assert high > low, "upwards is better"
    assert view["layout"]["shapes"][0]["y0"] == pytest.approx(view["best"] - 0.84, rel=1e-3)


def test_a_lost_trial_has_an_infinite_loss(views: Views) -> None:
    losses = views.losses["val_loss"]
    late = losses[(losses.init == "normal") & (losses.step == 600)].iloc[0]
    assert late.high == float("inf")
    assert late["median"] < 1.0
    figure = curves_chart(only(views), views.bands)
    place = [line["meta"]["init"] for line in figure["data"]].index("normal")
    assert figure["bands"]["val_loss"][place][2][-1] is None


def test_a_thinned_curve_keeps_its_start() -> None:
    steps = list(range(10, 20_001, 10))
    kept = thinned_steps(steps)
    assert (kept[0], kept[-1]) == (10, 20_000)
    assert len(kept) <= MOST_POINTS
    assert kept[:5] == [10, 20, 30, 40, 50]
    assert max(later - earlier for earlier, later in pairwise(kept)) <= 700
