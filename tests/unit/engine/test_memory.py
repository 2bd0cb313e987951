"""What a trial takes of memory, and what is said where that is not free."""

import pytest
import torch
from torch import nn

from initsuite.engine.memory import bytes_a_trial, lacking, least_free, set_up_bytes


def test_memory_counts_state_and_activations(make_job) -> None:
    """2 x 64 on 8 x 8 images: 64 64 + 64 64 + 64 10 weights, 138 biases; outputs 64 x 4 + 10, batch 64."""
    parameters, outputs = 64 * 64 * 2 + 640 + 138, 64 * 4 + 10
    assert bytes_a_trial(make_job("model=mlp").cell.workload) == 4 * (5 * parameters + 3 * 64 * outputs)
    norm = make_job("model=mlp", "model.norm=batch").cell.workload
    assert norm.model.training == make_job("model=mlp", "model.norm=batch").cell.workload.model.training
    assert bytes_a_trial(norm) > bytes_a_trial(make_job("model=mlp").cell.workload)


def test_memory_is_that_of_the_device_with_the_least(monkeypatch) -> None:
    free = {0: 3000, 1: 2000}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device.index], 1 << 40))
    assert least_free(["cuda:0", "cuda:1"]) == (2000, "cuda:1")
    assert least_free(["cuda:0"]) == (3000, "cuda:0")
    assert least_free(["cpu"])[0] > 1 << 20


@pytest.mark.parametrize(("free", "is_enough"), [(1280, True), (1000, False)])
def test_too_little_memory_is_said_with_what_is_needed(monkeypatch, free, is_enough) -> None:
    model = nn.Linear(9, 8)
    assert set_up_bytes(model) == 4 * 4 * 80
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 1 << 40))
    said = lacking("mine", model, set_up_bytes(model), "make and draw them", ["cuda:1"])
    assert (said == "") == is_enough
    if said:
        assert said == (
            "model=mine: its 80 parameters do not fit into memory. Got about 1.28 kB to make and draw them. "
            "Expected at most the 1 kB that are free on cuda:1. Use a narrower model."
        )
