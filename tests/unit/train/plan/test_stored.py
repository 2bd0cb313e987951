import itertools
import json

import pytest

from initsuite.errors import StoreError
from initsuite.files import read_sealed
from initsuite.train.plan.stored import Plans, still_valid
from initsuite.train.task import Stack

STACKS = [Stack(("a", "b"), "cpu"), Stack(("c",), "cpu")]


def test_plans_are_read_back_the_newest_first(tmp_path) -> None:
    plans = Plans(tmp_path)
    assert plans.read() == []
    plans.save(STACKS)
    newer = Stack(("b", "a"), "cpu")
    plans.save([newer], ["mlp: narrower"])
    assert plans.read() == [newer, *STACKS]
    newest = max(plans.directory.iterdir())
    assert read_sealed(newest)["notes"] == ["mlp: narrower"]


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "[]",
        "7",
        '{"stacks": []}',
        '{"protocol_version": 2, "stacks": [{"trial_ids": ["z"]}]}',
        '{"protocol_version": 2, "stacks": [{"trial_ids": "zy", "device": "cpu"}]}',
        '{"protocol_version": 2, "stacks": [{"trial_ids": [1], "device": "cpu"}]}',
        '{"protocol_version": 2, "stacks": {"trial_ids": ["z"], "device": "cpu"}}',
        '{"content": {"protocol_version": 2, "stacks": []}, "sha256": "0"}',
        "\x00",
    ],
)
def test_a_damaged_plan_is_put_away_and_named(tmp_path, damaged: str) -> None:
    plans = Plans(tmp_path)
    plans.save(STACKS)
    (plans.directory / "99.json").write_text(damaged)
    with pytest.warns(UserWarning, match=r"damaged plan `.*99\.json` is left out"):
        assert plans.read() == STACKS
    assert (tmp_path / "quarantine" / "plans-99.json").read_text() == damaged
    assert plans.read() == STACKS


def test_every_flipped_bit_of_a_plan_is_noticed(tmp_path) -> None:
    plans = Plans(tmp_path)
    plans.save(STACKS)
    path = next(plans.directory.iterdir())
    content = path.read_bytes()
    for place, bit in itertools.product(range(len(content)), range(8)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        path.write_bytes(bytes(flipped))
        with pytest.warns(UserWarning, match="damaged plan"):
            assert plans.read() == []
        (tmp_path / "quarantine" / f"plans-{path.name}").unlink()


def test_plans_of_other_versions_are_passed_over_and_those_without_a_seal_are_read(tmp_path) -> None:
    plans = Plans(tmp_path)
    plans.save(STACKS)
    content = read_sealed(next(plans.directory.iterdir()))
    old = {"protocol_version": 0, "stacks": [{"trial_ids": ["z"], "threads": 2}]}
    (plans.directory / "98.json").write_text(json.dumps(old))
    another = {**content, "stacks": [{"trial_ids": ["y"], "device": "cpu"}]}
    (plans.directory / "99.json").write_text(json.dumps(another))
    assert plans.read() == [Stack(("y",), "cpu"), *STACKS]
    assert len(list(plans.directory.iterdir())) == 3


def test_the_id_of_a_stack_is_what_its_bits_depend_on() -> None:
    stack = STACKS[0]
    others = [Stack(("b", "a"), "cpu"), Stack(("a",), "cpu"), Stack(("a", "b"), "cuda")]
    assert len({stack.stack_id, *(other.stack_id for other in others)}) == 4


@pytest.mark.parametrize(
    ("missing", "max_stack", "device", "expected"),
    [
        ("abc", None, "cpu", STACKS),
        ("ab", None, "cpu", STACKS[:1]),
        ("ac", None, "cpu", STACKS[1:]),
        ("abc", 1, "cpu", STACKS[1:]),
        ("abc", None, "cuda", []),
    ],
)
def test_only_stacks_that_are_missing_as_a_whole_are_trained_as_planned(missing, max_stack, device, expected) -> None:
    assert still_valid(STACKS, missing, device, max_stack) == expected


def test_no_trial_is_planned_twice() -> None:
    overlapping = [Stack(("a", "b"), "cpu"), Stack(("b", "c"), "cpu")]
    assert still_valid(overlapping, "abc", "cpu", None) == overlapping[:1]


def test_a_plan_that_cannot_be_stored_is_an_error(tmp_path) -> None:
    (tmp_path / "plans").write_text("a file in the way")
    with pytest.raises(StoreError, match="fix the disk"):
        Plans(tmp_path).save(STACKS)
