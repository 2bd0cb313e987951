import json

import pytest

from initsuite.errors import StoreError
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
    assert json.loads(newest.read_text())["notes"] == ["mlp: narrower"]


def test_a_damaged_plan_and_one_of_other_numbers_are_passed_over(tmp_path) -> None:
    plans = Plans(tmp_path)
    plans.save(STACKS)
    good = next(plans.directory.iterdir())
    content = json.loads(good.read_text())
    (plans.directory / "99-cut.json").write_text(good.read_text()[:-20])
    former = {"trial_ids": ["z"], "threads": 2, "workers": 1, "device": "cpu"}
    (plans.directory / "99-former.json").write_text(json.dumps({**content, "stacks": [former], "speeds": {}}))
    (plans.directory / "99-shape.json").write_text(json.dumps({"stacks": [{"trial_ids": ["z"]}]}))
    content |= {"protocol_version": 0, "stacks": [{**content["stacks"][0], "trial_ids": ["y"]}]}
    (plans.directory / "99-old.json").write_text(json.dumps(content))
    assert plans.read() == STACKS


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
