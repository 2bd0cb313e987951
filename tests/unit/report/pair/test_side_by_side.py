"""Two planted stores side by side: each sentence has a case that must make it, and the files are read back."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from initsuite.errors import StoreError
from initsuite.report.pair.display import contexts_for_people, summary_of_pair
from initsuite.report.pair.files import markdown_of_pair, write_side_by_side
from initsuite.report.pair.side_by_side import ARM_COLUMNS, CONTEXT_COLUMNS, SideBySide, side_by_side
from initsuite.report.pair.terminal import print_side_by_side
from initsuite.report.text.documents import plain
from initsuite.report.verdicts.recommendations import build_report
from initsuite.results.store import Store
from initsuite.spec import PROTOCOL_VERSION
from support.planter import CHANCE, DIVERGED, FAILED, LEVELS, MISS, STUCK, Planter

NAMES = ("laptop", "cluster")
FAST, SLOW = (tuple(start + 20 * (seed % 3) for seed in range(8)) for start in (100, 300))


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Store, Store]:
    return Store(tmp_path / "laptop"), Store(tmp_path / "cluster")


def compared(stores: tuple[Store, Store]) -> SideBySide:
    first, second = (build_report(store.read()) for store in stores)
    return side_by_side(first, second, NAMES)


def only_context(stores: tuple[Store, Store]) -> pd.Series:
    pair = compared(stores)
    assert len(pair.contexts) == 1
    return pair.contexts.iloc[0]


def plant(store: Store, **arms: tuple[float, ...]) -> None:
    planter = Planter(store)
    for init, fates in arms.items():
        planter.arm(init, fates)


# ---- agreement ------------------------------------------------------------------------------------------------------


def test_both_recommend_the_same(stores) -> None:
    for store in stores:
        plant(store, he=FAST, xavier=SLOW)
    row = only_context(stores)
    assert (row.agrees, row.in_words) == ("yes", "Both recommend he.")
    assert (row.first_recommended, row.second_recommended, row.first_store, row.second_store) == ("he", "he", *NAMES)


def test_the_stores_contradict_each_other(stores) -> None:
    plant(stores[0], he=FAST, xavier=SLOW)
    plant(stores[1], he=SLOW, xavier=FAST)
    row = only_context(stores)
    assert row.agrees == "no"
    assert row.in_words == "laptop recommends he, xavier is worse; cluster recommends xavier, he is worse."


def test_what_one_store_cannot_tell_apart_is_no_contradiction(stores) -> None:
    plant(stores[0], he=FAST, xavier=SLOW)
    plant(stores[1], he=(120, 140, 100, 160, 120, 140, 100, 160), xavier=(140, 100, 120, 120, 160, 100, 140, 120))
    row = only_context(stores)
    assert row.agrees == "no contradiction"
    assert row.in_words == "laptop recommends he, xavier is worse; cluster recommends xavier, he is tied with it."


def test_few_seeds_are_no_contradiction(stores) -> None:
    plant(stores[0], he=FAST[:2], xavier=SLOW[:2])
    plant(stores[1], he=SLOW, xavier=FAST)
    row = only_context(stores)
    assert row.agrees == "no contradiction"
    assert "xavier has not enough seeds to be told from it" in row.in_words


def test_a_choice_that_the_other_store_lacks(stores) -> None:
    plant(stores[0], he=FAST)
    plant(stores[1], he=SLOW, xavier=FAST)
    row = only_context(stores)
    assert row.agrees == "cannot say"
    assert row.in_words == "laptop recommends he, xavier was not scored; cluster recommends xavier, he is worse."
    assert "he" in compared((stores[1], stores[0])).contexts.in_words[0]


def test_nothing_is_recommended_in_one(stores) -> None:
    plant(stores[0], he=FAST)
    Planter(stores[1]).arm("he", [MISS] * 3, STUCK, easy=False)
    row = only_context(stores)
    assert (row.agrees, row.in_words) == ("cannot say", "Recommended: he in laptop, nothing in cluster.")
    assert row.second_recommended == "none"


# ---- arms -----------------------------------------------------------------------------------------------------------


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
    assert table.store.tolist() == ["laptop", "cluster", "difference", "laptop", "cluster", "laptop", "cluster"]
    assert table.verdict.tolist()[4] == "not in this store"
    assert table.verdict.tolist()[2] == "8 shared seeds"


def test_arms_that_only_one_store_must_tell_apart_are_joined(stores) -> None:
    for gains, store in (((1.0, 1.4), stores[0]), ((1.4,), stores[1])):
        for gain in gains:
            Planter(store).arm("he", FAST, options={"gain": gain})
    arms = compared(stores).arms
    assert arms.init.tolist() == ["he (gain=1.0)", "he (gain=1.4)"]
    assert arms.num_shared_seeds.tolist()[1] == 8


# ---- notes ----------------------------------------------------------------------------------------------------------


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
    assert note.endswith(", and 2 more.")


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


# ---- shown and written ----------------------------------------------------------------------------------------------


def test_the_terminal_stays_within_80_columns(stores, capsys: pytest.CaptureFixture[str]) -> None:
    plant(stores[0], he=FAST, a_rather_long_name_of_an_initializer=SLOW)
    plant(stores[1], he=SLOW, xavier=FAST)
    print_side_by_side(compared(stores), Console(width=80))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "A: laptop" in printed
    assert "B-A" in printed
    assert "Do they agree? cannot say. laptop recommends he" in printed
    assert "Note: Left out" not in printed


def test_the_files_are_read_back(stores, tmp_path: Path) -> None:
    plant(stores[0], torch_default=FAST, xavier=SLOW)
    plant(stores[1], torch_default=FAST, xavier=SLOW)
    pair = compared(stores)
    paths = write_side_by_side(pair, tmp_path / "new" / "out")
    assert [path.name for path in paths] == ["side_by_side.md", "side_by_side.csv", "side_by_side_contexts.csv"]
    assert len(pd.read_csv(paths[1])) == 2
    assert pd.read_csv(paths[2]).agrees.tolist() == ["yes"]
    text = paths[0].read_text()
    assert text == markdown_of_pair(pair)
    assert "Do they agree? **yes**. Both recommend torch\\_default." in text
    assert text.count("| difference |") == 2
    assert plain("a|b") == "a\\|b"


def test_a_folder_that_cannot_be_written(stores, tmp_path: Path) -> None:
    for store in stores:
        plant(store, he=FAST)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot write to `out`=.* Choose another with --out DIR\."):
        write_side_by_side(compared(stores), tmp_path / "file" / "below")
