"""Which trials share a stack, and how wide memory lets it be."""

import pytest
import torch

from initsuite.spec import Stage
from initsuite.train.plan import composition
from initsuite.train.plan.composition import bytes_a_trial, compose, groups_of, memory_limit, widest


def test_trials_of_one_workload_and_optimizer_kind_share_a_stack_those_of_a_seed_side_by_side(make_job) -> None:
    cells = [make_job(*words).cell for words in (["init=he"], ["init=zero"], ["optimizer=adam"], ["model.depth=3"])]
    groups = groups_of([(cell, cell.trial(0.1, seed, Stage.SCORE)) for cell in cells for seed in (1, 0)])
    assert [group.cells for group in groups] == [cells[:2], [cells[2]], [cells[3]]]
    assert [trial.seed for _, trial in groups[0].pairs] == [0, 0, 1, 1]
    assert len({group.key for group in groups}) == 3
    first, *others = groups[0].trial_ids
    assert groups[0].without({first}).trial_ids == others


@pytest.mark.parametrize(
    ("num_trials", "width", "multiple", "sizes"),
    [
        (7, 7, 1, [7]),
        (7, 3, 1, [2, 2, 3]),
        (7, 100, 2, [3, 4]),
        (9, 4, 2, [2, 2, 2, 3]),
        (3, 1, 4, [1, 1, 1]),
        (1, 8, 4, [1]),
    ],
)
def test_trials_are_cut_evenly_and_in_their_order(num_trials, width, multiple, sizes) -> None:
    trial_ids = [f"trial-{index}" for index in range(num_trials)]
    stacks = compose(trial_ids, width, multiple)
    assert [len(stack) for stack in stacks] == sizes
    assert [trial_id for stack in stacks for trial_id in stack] == trial_ids


def test_memory_counts_state_and_activations(make_job) -> None:
    """2 x 64 on 8 x 8 images: 64 64 + 64 64 + 64 10 weights, 138 biases; outputs 64 x 4 + 10, batch 64."""
    parameters, outputs = 64 * 64 * 2 + 640 + 138, 64 * 4 + 10
    assert bytes_a_trial(make_job("model=mlp").cell.workload) == 4 * (5 * parameters + 3 * 64 * outputs)
    norm = make_job("model=mlp", "model.norm=batch").cell.workload
    assert norm.model.training == make_job("model=mlp", "model.norm=batch").cell.workload.model.training
    assert bytes_a_trial(norm) > bytes_a_trial(make_job("model=mlp").cell.workload)
    assert memory_limit(torch.device("cpu")) > 1 << 20


def test_the_widest_stack_is_a_power_of_two_however_memory_varies(monkeypatch) -> None:
    for free, width in ((1000, 8), (800, 8), (1600, 16), (10, 1)):
        monkeypatch.setattr(composition, "memory_limit", lambda device, free=free: free)
        assert widest("cpu", 100) == width
