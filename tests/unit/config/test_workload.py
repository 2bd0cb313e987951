"""Ids of workloads that are known without their models, and without the examples of their data sets."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from initsuite.config.groups import conf_dir, shipped_file, target_of
from initsuite.config.sweep import compose_sweep
from initsuite.config.workload import WorkloadDraft, frame_id_of, frame_of, make_dataset
from initsuite.data.base import has_fixed_examples
from initsuite.errors import DataError


class Gated(nn.Module):
    """A user's model with a tensor that no law is for, which it draws itself."""

    def __init__(self, input_shape: Any, num_outputs: int, activation: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(64, num_outputs)
        self.gate = nn.Parameter(torch.rand(64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1) * torch.sigmoid(self.gate))


def draft_of(*overrides: str) -> WorkloadDraft:
    (job,) = compose_sweep(overrides)
    assert job.tree
    frame = frame_of(job.tree)
    return WorkloadDraft(frame, lambda: make_dataset(frame["dataset"]), frame_id_of(frame, lambda: pytest.fail("read")))


@pytest.mark.parametrize("model", ["mlp", "cnn", "activation=prelu"])
def test_the_id_of_our_models_is_known_before_they_are_made(model: str) -> None:
    draft = draft_of(model if "=" in model else f"model={model}")
    before = draft.workload_id
    assert "model" not in vars(draft)
    assert draft.workload.workload_id == before
    assert draft.workload.model is draft.model


def test_a_users_model_is_made_for_its_id() -> None:
    """It may draw values of its own, which then count."""
    draft = draft_of("model=custom", f"model._target_={__name__}:Gated")
    assert draft.workload_id == draft.workload.workload_id
    assert draft.workload.kept == ["gate"]
    assert draft.workload_id != frame_id_of(draft.frame, draft.dataset)


NAMES = sorted(path.stem for path in (conf_dir() / "dataset").glob("*.yaml") if path.stem != "custom")


@pytest.mark.parametrize("name", NAMES)
def test_a_data_set_is_fixed_by_its_options_where_it_has_no_fingerprint(name: str) -> None:
    (job,) = compose_sweep([f"dataset={name}"])
    assert job.tree
    tree = job.tree["dataset"]
    is_fixed = has_fixed_examples(target_of("dataset", tree), tree)
    needs_files = "download" in shipped_file("dataset", name)
    try:
        dataset = make_dataset({**tree, "download": False} if needs_files else tree)
    except DataError:
        assert is_fixed, "what is stored of it must be found without its files"
        return
    assert not (is_fixed and dataset.fingerprint)
    assert is_fixed or dataset.fingerprint or tree["chance"] is None, "then it is read for its chance anyway"
