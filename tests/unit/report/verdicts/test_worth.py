"""What the choice of an initializer is worth, from planted norm x optimizer x initializer."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from initsuite.report.text.display import records
from initsuite.report.verdicts.recommendations import Report, build_report
from initsuite.report.verdicts.worth import WORTH_COLUMNS, worth_table, worths
from initsuite.report.verdicts.worth_answers import how_sure, worth_answers
from initsuite.report.verdicts.worth_summary import worth_in_words, worth_summary
from initsuite.results.store import Store, load_results
from support.crossed import SEEDS, TRUTH, plant, tuned_like
from support.planter import MISS, STUCK, TRAINS, Planter


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    store = Store(tmp_path_factory.mktemp("planted"))
    plant(store, TRUTH)
    Planter(store, model="cnn", depth=4).arm("he", [100.0] * SEEDS)  # another network, that is not crossed
    return build_report(load_results(store.directory))


def test_each_cell_of_norm_and_optimizer_has_the_planted_worth(report: Report) -> None:
    table = worth_table(worths(report))
    assert list(table.columns) == WORTH_COLUMNS
    assert list(zip(table.norm, table.optimizer, strict=True)) == [
        ("none", "adamw"), ("none", "sgd"), ("batch", "adamw"), ("batch", "sgd")
    ]  # fmt: skip
    for row in records(table):
        arms = TRUTH[row["norm"], row["optimizer"]]
        assert row["score"] == pytest.approx(arms["he"] - min(arms.values()))
        assert row["score_over_default"] == pytest.approx(arms["he"] - arms["torch_default"])
        assert (
            row["score_low"] == pytest.approx(row["score"]) == pytest.approx(row["score_high"])
        )  # paired: no noise is left
        assert row["share"] == pytest.approx(row["score"] / (0.88 - 0.1))
        assert row["steps_over_default"] == pytest.approx(1.6)
        assert row["steps"] == (math.inf if row["norm"] == "none" else 3.0)
        assert (row["num_arms"], row["num_seeds"], row["level"]) == (3, SEEDS, "primary")
        assert (row["fastest"], row["slowest"], row["best"]) == ("he", "normal", "he")
    assert table.network.unique().tolist() == ["digits / mlp-2x64-none / relu"]


def test_windows_are_decades_of_learning_rates_that_train(report: Report) -> None:
    (row,) = records(worth_table(worths(report)).query("norm == 'batch' and optimizer == 'sgd'"))
    assert (row["widest"], row["narrowest"]) == ("he", "normal")
    assert (row["widest_decades"], row["default_decades"], row["narrowest_decades"]) == (2.0, 1.5, 1.0)


def test_the_words_say_the_planted_numbers(report: Report) -> None:
    words = worth_in_words(worth_summary(worths(report)))
    assert words == (
        "Best against worst initializer: 40.0 points of final score [40.0, 40.0] without a norm under adamw, "
        "56.0 [56.0, 56.0] without a norm under sgd, 0.0 [0.0, 0.0] with a norm under adamw, "
        "3.0 [3.0, 3.0] with a norm under sgd. "
        "Best other one against torch_default: 2.0 [2.0, 2.0] without a norm under adamw, 6.0 [6.0, 6.0] without a "
        "norm under sgd, 0.0 [0.0, 0.0] with a norm under adamw, 1.0 [1.0, 1.0] with a norm under sgd. "
        "The choice makes a difference without a norm under adamw; without a norm under sgd; with a norm under sgd. "
        "No difference is shown with a norm under adamw."
    )


def test_each_network_has_its_own_answer(report: Report) -> None:
    (answer,) = worth_answers(worths(report))
    assert dict(answer.lines) == {
        "adamw": "The choice matters without a norm (he over normal: +40.0 points [40.0, 40.0]). It is not shown to "
        "matter with batch norm (he over normal: +0.0 points [0.0, 0.0]). torch_default is beaten without a norm (by "
        "he, +2.0 points [2.0, 2.0]). No initializer is shown to beat torch_default with batch norm (best other: he, "
        "+0.0 points [0.0, 0.0]).",
        "sgd": "The choice matters without a norm (he over normal: +56.0 points [56.0, 56.0]) and with batch norm "
        "(he over normal: +3.0 points [3.0, 3.0]). torch_default is beaten without a norm (by he, +6.0 points [6.0, "
        "6.0]) and with batch norm (by he, +1.0 points [1.0, 1.0]).",
    }
    assert f"over {SEEDS} seeds, wide enough for all pairs" in how_sure(worths(report))


def test_an_answer_says_that_the_worst_stays_near_chance_and_that_seeds_are_too_few(tmp_path: Path) -> None:
    cells = {cell: {**TRUTH["none", "sgd"], "normal": 0.1} for cell in TRUTH}
    plant(Store(tmp_path / "stuck"), cells)
    (answer,) = worth_answers(worths(build_report(load_results(tmp_path / "stuck"))))
    assert (
        "without a norm (he over normal: +76.0 points [76.0, 76.0]; normal stays near chance)"
        in dict(answer.lines)["sgd"]
    )
    single = worths(build_report(load_results(tmp_path / "stuck")))
    few = [replace(worth, table=worth.table.iloc[:1]) for worth in single]
    (answer,) = worth_answers(few)
    assert answer.lines[0][1] == "There are too few seeds to tell without a norm and with batch norm."


def test_networks_and_norms_weigh_the_same(tmp_path: Path) -> None:
    """One network has two norms: the mean over them counts once."""
    store = Store(tmp_path / "results")
    shifted = {
        cell: {name: score - 0.02 * (name == "normal") for name, score in arms.items()} for cell, arms in TRUTH.items()
    }
    layer = {("layer", optimizer): TRUTH["batch", optimizer] for optimizer in ("sgd", "adamw")}
    plant(store, {**TRUTH, **layer})
    plant(store, shifted, model="mlp-9x64", depth=9)
    found = worths(build_report(load_results(store.directory)))
    summary = worth_summary(found)
    (row,) = records(summary.query("has_norm and optimizer == 'sgd'"))
    assert len(found) == 6 + 4
    assert row["worth"] == pytest.approx((3 + 5) / 2)
    assert (row["num_networks"], row["num_contexts"]) == (2, 3)
    assert "the mean over 2 networks" in worth_in_words(summary)


@pytest.mark.parametrize(
    "cells",
    [
        [("none", "sgd"), ("batch", "sgd")],
        [("none", "sgd"), ("none", "adamw")],
        [("none", "sgd"), ("batch", "sgd"), ("batch", "adamw")],
        [("batch", "sgd"), ("layer", "adamw"), ("layer", "sgd"), ("batch", "adamw")],
    ],
)
def test_what_is_not_crossed_has_no_worth(tmp_path: Path, cells: list[tuple[str, str]]) -> None:
    store = Store(tmp_path / "results")
    plant(store, {cell: TRUTH["batch", cell[1]] for cell in cells})
    found = worths(build_report(load_results(store.directory)))
    assert found == ()
    assert worth_table(found).empty
    assert worth_in_words(worth_summary(found)) == ""


def test_an_arm_that_is_stuck_is_the_worst_and_without_a_default_nothing_is_said_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for norm in ("none", "batch"):
        for optimizer in ("sgd", "adamw"):
            planter = Planter(store, norm=norm, optimizer=optimizer)
            planter.arm("he", [100.0] * SEEDS, tune=TRAINS)
            planter.arm("zero", [MISS] * SEEDS, tune=STUCK, easy=False)
    found = worths(build_report(load_results(store.directory)))
    table, words = worth_table(found), worth_in_words(worth_summary(found))
    assert (set(table.worst), set(table.slowest), set(table.narrowest_decades)) == ({"zero"}, {"zero"}, {0.0})
    assert table.score_over_default.isna().all()
    assert table.steps_low.tolist() == [math.inf] * 4
    assert "torch_default" not in words
    assert words.endswith("The choice makes a difference in every case.")


def test_seeds_that_both_miss_or_one_misses(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for norm in ("none", "batch"):
        for optimizer in ("sgd", "adamw"):
            planter = Planter(store, norm=norm, optimizer=optimizer)
            planter.arm("he", [100.0, 100.0, MISS, MISS], tune=tuned_like(0.86))
            planter.arm("xavier", [200.0, MISS, 300.0, MISS], tune=tuned_like(0.6))
    worth = worths(build_report(load_results(store.directory)))[0]
    assert worth.table.steps.tolist() == [2.0, math.inf, 0.0, 1.0]
