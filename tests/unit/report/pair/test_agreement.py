"""Whether two stores recommend the same: each answer has a case that must make it."""

from __future__ import annotations

from support.pairs import FAST, NAMES, SLOW, compared, only_context, plant
from support.planter import MISS, STUCK, Planter


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
