"""What is shipped about prediction is what the reference store and a fresh measurement give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import predict_training
import predicting
import pytest
import torch

from initsuite.results.sources import REFERENCE_STORE
from initsuite.results.store import Results, load_results
from initsuite.signal.prediction import COMBINED, EVERY, MEASURE, SCORE, SPEED, Prediction
from initsuite.signal.predictors import PREDICTORS

NETWORK = "digits / mlp-2x64"


@pytest.fixture(scope="module")
def results() -> Results:
    return load_results(REFERENCE_STORE)


def test_the_shipped_table_is_about_the_shipped_store(results: Results) -> None:
    """If this fails, the reference has changed: run python scripts/predict_training.py."""
    shipped = Prediction.read()
    assert shipped.facts["store"] == predicting.hash_of(results)
    assert set(shipped.weights(SPEED)) | set(shipped.weights(SCORE)) <= {each.name for each in PREDICTORS}
    for outcome in (SPEED, SCORE):
        assert sum(shipped.weights(outcome).values()) == pytest.approx(1, abs=1e-3)
        rows = shipped.of(outcome)
        assert (rows["low"] <= rows["correlation"]).all()
        assert (rows["correlation"] <= rows["high"]).all()
        assert rows["kind"].value_counts()[COMBINED] == 3


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    shipped = Prediction.read()
    shipped.write(tmp_path / "again.csv")
    again = Prediction.read(tmp_path / "again.csv")
    assert again.facts == shipped.facts
    assert predict_training.differences(shipped, again).empty


@pytest.mark.slow
def test_a_network_measured_again_gives_the_shipped_rows(results: Results, tmp_path: Path) -> None:
    """30 cells are built from their stored overrides, drawn and measured."""
    found = predict_training.predicted(results, tmp_path, NETWORK)
    assert set(found.table["network"]) == {NETWORK}
    assert (found.table["kind"] == MEASURE).sum() == 4 * len(predicting.MEASURES)
    assert predict_training.differences(Prediction.read(), found).empty
    changed = Prediction(found.table.assign(correlation=found.table["correlation"] + 0.05), found.facts)
    assert len(predict_training.differences(Prediction.read(), changed)) == len(found.table)
    one = next(iter(tmp_path.glob("*.json")))
    before = one.stat().st_mtime_ns
    predict_training.predicted(results, tmp_path, NETWORK)  # resumes: measures nothing again
    assert one.stat().st_mtime_ns == before


@pytest.mark.slow
def test_naive_predictors_and_halves(results: Results) -> None:
    """The order by name is that of the other workloads; the regret of the best initializer is none."""
    workloads = predicting.workloads_of(results)
    say = predicting._naive(workloads, SPEED)["he first"]
    assert [workloads[0].names[number] for number in np.flatnonzero(say(0) == 0)] == ["he"]
    perfect = [predicting.Told(each, each.speed) for each in workloads]
    assert predicting._regret(perfect, SPEED)[1] == 0
    best = [predicting.Told(each, each.score) for each in workloads]
    assert predicting._regret(best, SCORE) == (0.0, pytest.approx(float("nan"), nan_ok=True))
    for workload in workloads:
        if workload.axes["activation"] == "relu":  # with a sigmoid, equal units learn a little
            assert not workload.trains[workload.names.index("zero")]
        assert (workload.speed[~workload.trains] == workload.speed.max()).all()


def test_the_squares_of_singular_values() -> None:
    """Closed form: of 1 and 3, the mean square is 5 and the variance of the squares 16."""
    assert predict_training.squares_of(torch.tensor([3.0, 1.0])) == (5.0, pytest.approx(16 / 25))
    assert predict_training.squares_of(torch.zeros(2)) == (0.0, float("inf"))


def test_one_row_for_each_question() -> None:
    table = Prediction.read().table
    assert not table.duplicated(["predictor", "outcome", "among", "network"]).any()
    assert set(table.loc[table["weight"].notna(), "network"]) == {EVERY}


def test_the_page_holds_the_shipped_table() -> None:
    """If this fails: python scripts/predict_training.py writes it."""
    page = predict_training.PAGE.read_text(encoding="utf-8")
    assert predict_training.with_block(page, Prediction.read()) == page
    assert predict_training.docs_table(Prediction.read()) in page
