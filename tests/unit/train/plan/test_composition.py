"""Which trials share a stack, and how wide memory lets it be."""

import pytest

from initsuite.engine.memory import bytes_a_trial
from initsuite.spec import Stage, Trial
from initsuite.train.plan import composition
from initsuite.train.plan.composition import (
    WIDEST,
    compose,
    groups_of,
    widest,
    width_for,
)


def test_trials_of_one_workload_and_optimizer_kind_share_a_stack_those_of_a_seed_side_by_side(make_job) -> None:
    cells = [make_job(*words).cell for words in (["init=he"], ["init=zero"], ["optimizer=adam"], ["model.depth=3"])]
    groups = groups_of([(cell, cell.trial(0.1, seed, Stage.SCORE)) for cell in cells for seed in (1, 0)])
    assert [set(group.cells) for group in groups] == [set(cells[:2]), {cells[2]}, {cells[3]}]
    assert [trial.seed for _, trial in groups[0].pairs] == [0, 0, 1, 1]
    assert len({group.key for group in groups}) == 3
    first, *others = groups[0].trial_ids
    assert groups[0].without({first}).trial_ids == others


def trials_of(*counts: int) -> list[Trial]:
    """So many trials of each seed."""
    return [Trial("cell", 0.1 * (index + 1), seed, Stage.TUNE) for seed, n in enumerate(counts) for index in range(n)]


@pytest.mark.parametrize(
    ("counts", "width", "sizes"),
    [
        ((35, 35, 35), 64, [35, 35, 35]),  # one stack a seed: two would be too many
        ((35, 35, 35), 70, [35, 70]),
        ((35, 35), 20, [17, 18, 17, 18]),
        ((5,) * 10, 64, [25, 25]),  # a core each
        ((2,) * 10, 64, [20]),  # two would be too thin
        ((30,), 64, [30]),
        ((5,) * 10, 20, [15, 15, 20]),
        ((2, 5, 1), 5, [2, 5, 1]),
        ((20, 20, 20, 20, 20) + (1,) * 15, 64, [60, 55]),  # a lower learning rate is missing for some seeds
        ((5, 70, 5, 5), 64, [5, 35, 35, 10]),  # a seed that is cut leaves the others whole
        ((3,), 1, [1, 1, 1]),
        ((), 4, []),
    ],
)
def test_a_stack_holds_whole_seeds_or_trials_of_one(counts, width, sizes) -> None:
    trials = trials_of(*counts)
    stacks = compose(trials, width, fewest=2)
    assert [len(stack) for stack in stacks] == sizes
    assert [trial_id for stack in stacks for trial_id in stack] == [trial.trial_id for trial in trials]
    seed_of = {trial.trial_id: trial.seed for trial in trials}
    for stack in stacks:
        seeds = [seed_of[trial_id] for trial_id in stack]
        assert len(set(seeds)) == 1 or all(seeds.count(seed) == counts[seed] for seed in seeds)


def test_the_order_of_a_command_changes_no_stack(make_job) -> None:
    cells = [make_job(f"init={name}").cell for name in ("he", "zero", "xavier")]
    pairs = [(cell, cell.trial(lr, seed, Stage.TUNE)) for cell in cells for lr in (1.0, 0.1) for seed in (1, 0)]
    (first,), (second,) = groups_of(pairs), groups_of(reversed(pairs))
    assert first.trial_ids == second.trial_ids
    assert compose(first.trials, 4) == compose(second.trials, 4)


def test_larger_networks_have_narrower_stacks(make_job) -> None:
    small, deep, wide = (
        width_for(bytes_a_trial(make_job("model=mlp", *words).cell.workload), "cpu")
        for words in (["model.width=8"], ["model.depth=30"], ["model.width=4096"])
    )
    assert small == WIDEST["cpu"]
    assert small > deep > wide == 1
    assert width_for(bytes_a_trial(make_job("model=mlp", "model.depth=30").cell.workload), "cuda") > deep


def test_the_widest_stack_is_a_power_of_two_however_memory_varies(monkeypatch) -> None:
    for free, width in ((1000, 8), (800, 8), (1600, 16), (10, 1)):
        monkeypatch.setattr(composition, "memory_limit", lambda devices, free=free: free)
        assert widest(["cpu"], 100) == width
