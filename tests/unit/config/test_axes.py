"""The sweeps of an experiment: one after another, narrowed by the command line."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from hydra_plugins.initsuite_sweeper.sweeper import InitsuiteSweeper
from initsuite.config.axes import chosen_sweeps
from initsuite.config.overrides import planned_sweeps
from initsuite.errors import ConfigError

SWEEPER: dict[str, Any] = {
    "params": {"optimizer": "sgd,adamw", "seeds": "4"},
    "sweeps": [
        {"model.norm": "none", "init": "he,lsuv,fixup"},
        {"model.norm": "batch,layer", "init": "he,lsuv"},
        {"model.norm": "batch", "init": "zero_gamma"},
    ],
}


def cells(*arguments: str, sweeper: dict[str, Any] = SWEEPER) -> list[list[str]]:
    """For each sweep, norm and initializer of its jobs."""
    found = []
    for sweep in chosen_sweeps(sweeper, arguments):
        (jobs,) = BasicSweeper.split_arguments(sweep, None)
        found.append([])
        for job in jobs:
            values = dict(text.split("=") for text in job)
            found[-1].append(f"{values['model.norm']} {values['init']} {values['optimizer']} {values['seeds']}")
    return found


def test_a_sweep_is_every_combination_of_its_own_and_the_shared_values() -> None:
    none, both, single = cells()
    assert none == [f"none {init} {optimizer} 4" for optimizer in ("sgd", "adamw") for init in ("he", "lsuv", "fixup")]
    assert len(both) == 2 * 2 * 2
    assert single == ["batch zero_gamma sgd 4", "batch zero_gamma adamw 4"]


def test_the_command_line_replaces_shared_axes_and_narrows_the_others() -> None:
    assert cells("optimizer=rmsprop", "seeds=2", "init=lsuv,fixup") == [
        ["none lsuv rmsprop 2", "none fixup rmsprop 2"],
        ["batch lsuv rmsprop 2", "layer lsuv rmsprop 2"],
    ]
    assert cells("model.norm=batch", "optimizer=sgd") == [
        ["batch he sgd 4", "batch lsuv sgd 4"],
        ["batch zero_gamma sgd 4"],
    ]


def test_without_an_experiment_there_is_one_sweep() -> None:
    (jobs,) = cells("model.norm=none,batch", "init=he", "optimizer=sgd", "seeds=1", sweeper={"params": None})
    assert jobs == ["none he sgd 1", "batch he sgd 1"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["init=rezero,he"], r"`init`='rezero'.*it has he, lsuv, fixup, zero_gamma\. .*leave out experiment=NAME"),
        (["init=fixup", "model.norm=batch"], r"`model.norm`='batch'.*together with the other choices"),
    ],
)
def test_a_value_that_no_sweep_has_is_refused(arguments: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        cells(*arguments)


def test_plans_of_several_sweeps_share_the_shared_axes() -> None:
    assert planned_sweeps(SWEEPER)[2] == {**SWEEPER["params"], **SWEEPER["sweeps"][2]}
    assert planned_sweeps({}) == [{}]


@pytest.mark.parametrize(("dry_run", "cluster"), [(False, "ray"), (True, "local"), (False, "slurm")])
def test_each_sweep_is_a_batch_of_its_own_where_this_process_trains(dry_run: bool, cluster: str) -> None:
    sweeper = object.__new__(
        InitsuiteSweeper
    )  # Hydra's own, loaded twice by its search for plugins, cannot be made here
    sweeper._own = SWEEPER
    sweeper.hydra_context = SimpleNamespace(config_loader=None)  # type: ignore[assignment]
    sweeper.config = SimpleNamespace(dry_run=dry_run, cluster={"name": cluster})  # type: ignore[assignment]
    sweeper._arguments = ["seeds=1"]
    batches = sweeper.split_arguments([], None)
    assert [len(batch) for batch in batches] == ([6, 8, 2] if cluster == "ray" else [6 + 8 + 2])
    assert batches[0][0] == ["optimizer=sgd", "seeds=1", "model.norm=none", "init=he"]
