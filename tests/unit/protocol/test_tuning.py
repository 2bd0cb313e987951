import math

import numpy as np
import pandas as pd
import pytest

from initsuite.errors import ConfigError
from initsuite.protocol.tuning import Protocol, best_lr, centre, extended_grid, lr_scores, lr_scores_by_cell
from initsuite.protocol.yardstick import Yardstick

ACCURACY = Yardstick("accuracy", 0.1)
GRID = [0.001, 0.00316, 0.01, 0.0316, 0.1, 0.316, 1.0]


def rising() -> dict[float, float]:
    return {lr: 0.2 + 0.1 * index for index, lr in enumerate(GRID)}


def test_scores_count_divergence_as_chance_and_leave_failures_out() -> None:
    tune = pd.DataFrame(
        {
            "lr": [0.1, 0.1, 0.2, 0.2, 0.3],
            "status": ["done", "diverged", "done", "failed", "failed"],
            "final_val_score": [0.9, math.nan, 0.8, math.nan, math.nan],
        }
    )
    assert lr_scores(tune, ACCURACY) == {0.1: pytest.approx(0.5), 0.2: 0.8}


@pytest.mark.parametrize("yardstick", [ACCURACY, Yardstick("mse", 1.0)], ids=lambda found: found.metric)
def test_scores_of_all_cells_are_those_of_each_alone(yardstick: Yardstick) -> None:
    """Bit for bit: a rounding would decide between two learning rates that tie."""
    draw = np.random.default_rng(0)
    size = 2000
    tune = pd.DataFrame(
        {
            "cell_id": draw.choice([f"c{number}" for number in range(40)], size),
            "lr": draw.choice(GRID, size),
            "status": draw.choice(["done", "done", "done", "diverged", "failed"], size),
            "final_val_score": draw.uniform(0, 2, size),
        }
    )
    alone = {cell_id: lr_scores(trials, yardstick) for cell_id, trials in tune.groupby("cell_id")}
    assert lr_scores_by_cell(tune, yardstick) == alone
    assert lr_scores_by_cell(tune[:0], yardstick) == {}


def test_one_wild_score_counts_as_chance_where_the_scale_has_no_end() -> None:
    tune = pd.DataFrame({"lr": 0.1, "status": "done", "final_val_score": [0.1, 0.1, 1e6]})
    assert lr_scores(tune, Yardstick("mse", 1.0)) == {0.1: pytest.approx(0.4)}
    assert lr_scores(tune.assign(final_val_score=[0.5, 0.0, 0.0]), ACCURACY) == {0.1: pytest.approx(0.5 / 3)}


def test_best_lr_is_the_highest_score_and_ties_go_to_the_centre() -> None:
    assert best_lr(rising(), GRID, ACCURACY) == 1.0
    assert best_lr(dict.fromkeys(GRID, 0.9), GRID, ACCURACY) == centre(GRID) == 0.0316
    assert best_lr({0.001: 0.9, 0.316: 0.9, 1.0: 0.9}, GRID, ACCURACY) == 0.316


def test_an_arm_that_trains_at_no_lr_keeps_the_centre() -> None:
    assert best_lr({0.001: 0.1, 1.0: 0.12}, GRID, ACCURACY) == 0.0316
    assert best_lr({}, GRID, ACCURACY) == 0.0316


def test_where_lower_is_better_the_lowest_score_is_the_best() -> None:
    mse = Yardstick("mse", 1.0)
    falling = {lr: 0.95 - 0.1 * index for index, lr in enumerate(GRID)}
    assert best_lr(falling, GRID, mse) == 1.0
    assert best_lr(dict.fromkeys(GRID, 0.95), GRID, mse) == centre(GRID)  # nothing trains
    assert extended_grid(GRID, [falling], mse) == [*GRID, 3.16]


def test_the_grid_grows_at_the_edge_where_an_arm_is_best_at_most_twice() -> None:
    scores = rising()
    assert extended_grid(GRID, [scores], ACCURACY) == [*GRID, 3.16]
    scores[3.16] = 0.95
    assert extended_grid(GRID, [scores], ACCURACY) == [*GRID, 3.16, 10.0]
    scores[10.0] = 0.99
    assert extended_grid(GRID, [scores], ACCURACY) == [*GRID, 3.16, 10.0]


def test_the_grid_grows_for_all_arms_of_the_context_and_at_both_edges() -> None:
    falling = {lr: 0.9 - 0.1 * index for index, lr in enumerate(GRID)}
    assert extended_grid(GRID, [rising(), falling], ACCURACY) == [0.000316, *GRID, 3.16]


def test_the_grid_stays_where_the_edge_does_not_train_or_is_not_best() -> None:
    assert extended_grid(GRID, [dict.fromkeys(GRID, 0.1)], ACCURACY) == GRID
    assert extended_grid(GRID, [{**rising(), 0.1: 0.99}], ACCURACY) == GRID
    assert extended_grid([0.1], [{0.1: 0.9}], ACCURACY) == [0.1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scoring_seeds": 0}, "`seeds`=0. Expected a whole number from 1"),
        ({"scoring_seeds": 10_001}, "at most 10000 scoring seeds"),
        ({"tuning_seeds": -1}, "`tuning_seeds`=-1"),
        ({"lr": 0.1}, "protocol=fixed optimizer.lr=0.1"),
        ({"tuning_seeds": 0}, "Use protocol=fixed to tune nothing"),
        ({"name": "fixed"}, "0 under protocol=fixed"),
        ({"name": "fixed", "tuning_seeds": 0}, "Add, for example: optimizer.lr=0.1"),
        ({"name": "fixed", "tuning_seeds": 0, "lr": 0.0}, "`optimizer.lr`=0.0. Expected a finite number above 0"),
        ({"name": "fixed", "tuning_seeds": 0, "lr": math.inf}, "finite number above 0"),
    ],
)
def test_a_protocol_that_cannot_be_run_is_refused(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Protocol(**{"name": "p", "tuning_seeds": 1, "scoring_seeds": 1, **options})
