"""Options that every initializer has, through a configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from initsuite.config.build import build_tree
from initsuite.config.sweep import compose_sweep
from initsuite.errors import ConfigError
from initsuite.init import ForgetBias

LSTM = ("model=lstm", "dataset=adding", "dataset.length=10", "model.width=8", "init=he")


def cell(*overrides: str) -> Any:
    keys = {override.partition("=")[0] for override in overrides}
    (job,) = compose_sweep([*(one for one in LSTM if one.partition("=")[0] not in keys), *overrides])
    assert job.tree is not None
    return build_tree(job.tree)[0].cell


def test_it_is_another_cell_with_a_label_and_the_command_that_makes_it() -> None:
    plain, wrapped = cell(), cell("+init.forget_bias=1")
    assert wrapped.cell_id != plain.cell_id
    assert wrapped.context_id == plain.context_id
    assert (plain.axes["init"], wrapped.axes["init"]) == ("he", "he(forget_bias=1)")
    assert isinstance(wrapped.initializer, ForgetBias)
    made_again = [f"{key}={value}" for key, value in json.loads(wrapped.overrides).items()]
    assert "+init.forget_bias=1" in made_again
    assert cell(*made_again).cell_id == wrapped.cell_id


def test_a_model_without_forget_gates_is_refused_before_training() -> None:
    with pytest.raises(ConfigError, match=r"no bias of a forget_gate"):
        cell("model=rnn", "+init.forget_bias=1")
