"""The arms of two planted stores side by side, and a case for each note."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from initsuite.report.pair.display import contexts_for_people, summary_of_pair
from initsuite.report.pair.side_by_side import ARM_COLUMNS, CONTEXT_COLUMNS, side_by_side
from initsuite.report.verdicts.recommendations import build_report
from initsuite.spec import PROTOCOL_VERSION
from support.pairs import FAST, NAMES, SLOW, compared, plant
from support.planter import CHANCE, DIVERGED, FAILED, LEVELS, MISS, Planter


def test_the_difference_is_paired_by_seed(stores) -> None:
    plant(stores[0], he=(100, FAILED, 300, DIVERGED))
    plant(stores[1], he=(200, 220, 480, 100, 100))
    (row,) = compared(stores).arms.itertuples()

    def score(steps: float) -> float:
        return 0.86 - steps / 1e5 - 0.01

    differences = [score(200) - score(100), score(480) - score(300), score(100) - CHANCE]
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert row.num_shared_seeds == 3
    assert row.test_score_difference == pytest.approx(sum(differences) / 3)
    assert (row.test_score_difference_low, row.test_score_difference_high) == pytest.approx(tuple(expected))
    assert (row.first_num_seeds, row.second_num_seeds) == (3, 5)
    assert (row.first_num_reached, row.second_median_steps) == (2, 200)
    assert row.first_recommended
    assert row.second_recommended


def test_arms_of_one_store_alone_stay_in(stores) -> None:
    plant(stores[0], he=FAST, zero=SLOW)
    plant(stores[1], he=FAST, xavier=SLOW)
    pair = compared(stores)
    assert pair.arms.init.tolist() == ["he", "zero", "xavier"]
    arms = pair.arms.set_index("init")
    assert math.isnan(arms.second_num_seeds["zero"])
    assert math.isnan(arms.num_shared_seeds["xavier"])
    ((_, table),) = contexts_for_people(pair)
    assert list(map(str, table.store)) == ["laptop", "cluster", "difference", "laptop", "cluster", "laptop", "cluster"]
    assert str(table.verdict[4]) == "not in this store"
    assert str(table.verdict[2]) == "8 shared seeds"


def test_arms_that_only_one_store_must_tell_apart_are_joined(stores) -> None:
    for gains, store in (((1.0, 1.4), stores[0]), ((1.4,), stores[1])):
        for gain in gains:
            Planter(store).arm("he", FAST, options={"gain": gain})
    arms = compared(stores).arms
    assert arms.init.tolist() == ["he (gain=1.0)", "he (gain=1.4)"]
    assert arms.num_shared_seeds.tolist()[1] == 8


def test_contexts_of_one_store_are_left_out_and_named(stores) -> None:
    for store in stores:
        plant(store, he=FAST)
    Planter(stores[0], activation="tanh").arm("he", FAST)
    for place in range(10):
        Planter(stores[1], activation=f"activation_{place}").arm("he", FAST[:1])
    pair = compared(stores)
    assert pair.contexts.activation.tolist() == ["relu"]
    assert "Left out, as only laptop holds them: digits / mlp-2x64 / tanh / sgd (tuned)." in pair.notes
    (note,) = [note for note in pair.notes if note.startswith("Left out, as only cluster holds them: ")]
    assert note.count("activation_") == 8
    assert note.endswith(" and 2 more.")


def test_one_lr_for_all_is_not_compared_with_tuned_arms(stores) -> None:
    plant(stores[0], he=FAST)
    Planter(stores[1]).arm("he", FAST, tune=None, protocol="fixed")
    pair = compared(stores)
    assert pair.contexts.empty
    assert any("sgd (one lr for all: 0.1)" in note for note in pair.notes)
    assert list(pair.contexts.columns) == list(CONTEXT_COLUMNS)
    assert list(pair.arms.columns) == list(ARM_COLUMNS)


def test_only_the_newest_version_of_both_counts(stores) -> None:
    plant(stores[0], he=FAST)
    Planter(stores[1]).arm("he", FAST, protocol_version=PROTOCOL_VERSION - 1)
    newer, older = (build_report(store.read()) for store in stores)
    for pair in (side_by_side(newer, older, NAMES), side_by_side(older, newer, (NAMES[1], NAMES[0]))):
        assert pair.contexts.empty
        assert summary_of_pair(pair).startswith("Nothing can be compared")
        assert pair.notes[0] == (
            f"cluster holds trials of protocol version {PROTOCOL_VERSION - 1} at most, laptop of version "
            f"{PROTOCOL_VERSION}: their numbers do not compare. All 1 contexts of cluster are left out. Train them "
            "again with this version of initsuite."
        )
    # Older trials beside newer ones are left out as in the report on one store.
    plant(stores[1], he=FAST)
    pair = compared(stores)
    assert len(pair.contexts) == 1
    assert any(note.startswith("cluster: 13 trials of protocol version") for note in pair.notes)


def test_other_code_and_other_levels_are_told(stores) -> None:
    plant(stores[0], he=FAST)
    moved = Planter(stores[1], levels={**LEVELS, "primary": 0.83})
    moved.arm("he", FAST, commit="b" * 40, dirty=True)
    notes = compared(stores).notes
    assert (
        "The trials come from different code: aaaaaaaaa in laptop, bbbbbbbbb (uncommitted changes) in cluster."
    ) in notes
    assert (
        "digits / mlp-2x64 / relu / sgd (tuned): steps lead to 0.84 (primary) in laptop, to 0.83 (primary) in cluster, "
        "and do not compare."
    ) in notes


def test_copied_rows_are_told(stores) -> None:
    plant(stores[0], he=FAST)
    plant(stores[1], he=FAST)
    assert not any("same rows" in note for note in compared(stores).notes)
    assert (
        "8 scoring trials are the same rows in both stores, as after a merge: their differences are zero."
    ) in compared((stores[0], stores[0])).notes


def test_stores_where_nobody_reaches_a_level(stores) -> None:
    for store in stores:
        Planter(store, levels=None).arm("he", [MISS] * 3)
    pair = compared(stores)
    assert not any("steps lead to" in note for note in pair.notes)
    ((_, table),) = contexts_for_people(pair)
    assert "loss area, nats [95 %]" in table
    plant(stores[0], xavier=FAST)
    assert any(
        "steps lead to 0.84 (primary) in laptop, to no level, as the loss area ranks, in cluster" in note
        for note in compared(stores).notes
    )
