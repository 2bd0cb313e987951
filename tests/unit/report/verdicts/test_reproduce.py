"""The commands of a report, composed by Hydra: they give the cells that the trials came from, and no others."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from initsuite.config.compose.resolve import Composed
from initsuite.config.groups import conf_dir
from initsuite.config.overrides import overrides_text
from initsuite.config.sweep import compose_sweep
from initsuite.report.verdicts.recommendations import Report
from initsuite.report.verdicts.reproduce import COMMAND, commands, merged, without_command
from initsuite.spec import short_hash

GROUPS = ("dataset", "model", "activation", "optimizer", "schedule", "init", "batch_size", "max_steps", "eval_every")
"""What of a configuration is stored with a trial."""
SWEEPS = {
    "one cell": [["init=he"]],
    "axes": [["init=he,xavier", "activation=relu,tanh", "model.depth=2,30"]],
    "not a product": [["init=he,zero", "activation=relu"], ["init=he", "activation=tanh"]],
    "another data set": [["init=he,xavier", "dataset=fashion_mnist", "dataset.subset=1000", "max_steps=400"]],
    "budget": [["init=he", "batch_size=32", "eval_every=10", "dataset.max_steps=300"]],
    "layers individually": [["init=he,zero", "model.widths=[128,64],[64,128]"]],
    "options of an initializer": [["init=he", "init.gain=1.0,2.0"], ["init=normal", "init.std=0.1"]],
    "optimizer": [["init=he", "optimizer=adam", "optimizer.lr_grid=[0.001,0.01]", "optimizer.weight_decay=1.0e-4"]],
    "schedule": [["init=he", "schedule=cosine", "schedule.final=0.1"], ["init=he"]],
    "required options": [["init=rezero,he", "model=transformer", "dataset=text", "activation=gelu"]],
    "references": [["init=mup", "optimizer=adam"], ["init=siren", "model=siren", "dataset=image_fit"]],
    "zoo": [["init=he", "model=torchvision", "dataset=cifar10"]],
    "own initializer": [["init=custom", "init._target_=mypkg.Mine", "+init.std=0.1,0.2", "+init.name_of='a b'"]],
    "own data": [["dataset=custom", "dataset.name=mine", "dataset._target_=mypkg.data", "+dataset.path='/data/a b,c'"]],
}


@functools.cache
def jobs_of(*overrides: str) -> list[Composed]:
    """What Hydra composes, for the tests that ask for the same."""
    return compose_sweep(overrides)


def trials_of(
    sweeps: Sequence[Sequence[str]], protocol: str = "quick", num_seeds: int = 6, experiment: str = "", lr: float = 0.1
) -> pd.DataFrame:
    """Scoring trials of every cell of these sweeps."""
    rows = []
    for sweep in sweeps:
        for job in jobs_of(*sweep):
            assert job.tree is not None, job.error
            config = json.dumps({**{name: job.tree[name] for name in GROUPS}, "network": {"hidden_layers": 2}})
            shared = {"cell_id": short_hash([json.loads(config)]), "config": config, "experiment": experiment, "lr": lr}
            shared["overrides"] = overrides_text(json.loads(config), experiment)
            rows += [{**shared, "protocol": protocol, "stage": "score", "seed": seed} for seed in range(num_seeds)]
    return pd.DataFrame(rows)


def commands_of(trials: pd.DataFrame) -> list[str]:
    return commands(cast(Report, SimpleNamespace(trials=trials)))


def configs(trials: pd.DataFrame) -> set[str]:
    return {json.dumps(json.loads(text), sort_keys=True) for text in trials.config}


@functools.cache
def composed(command: str) -> list[dict[str, Any]]:
    """The configurations that a command asks for; its words as a shell splits them."""
    words = shlex.split(command.removeprefix(COMMAND))
    jobs = jobs_of(*(word for word in words if word != "-m"))
    assert ("-m" in words) == (len(jobs) > 1 or any(word.startswith("experiment=") for word in words))
    assert all(job.tree is not None for job in jobs), [job.error for job in jobs]
    return [cast("dict[str, Any]", job.tree) for job in jobs]


def configs_composed(found: Sequence[str]) -> list[str]:
    trees = [tree for command in found for tree in composed(command)]
    stored = [{**{name: tree[name] for name in GROUPS}, "network": {"hidden_layers": 2}} for tree in trees]
    return [json.dumps(config, sort_keys=True) for config in stored]


@pytest.mark.parametrize(
    "sweeps",
    [
        pytest.param(sweeps, marks=[] if name in ("axes", "not a product") else [pytest.mark.slow], id=name)
        for name, sweeps in SWEEPS.items()
    ],
)
def test_commands_give_the_same_cells(sweeps: list[list[str]]) -> None:
    trials = trials_of(sweeps)
    made = configs_composed(commands_of(trials))
    assert len(made) == len(set(made))
    assert set(made) == configs(trials)


def test_axes_are_put_together() -> None:
    (found,) = commands_of(trials_of(SWEEPS["axes"]))
    assert found == (
        "python -m initsuite.train -m dataset=digits model=mlp model.depth=2,30 activation=relu,tanh optimizer=sgd "
        "init=he,xavier protocol=quick seeds=6"
    )


def test_a_single_cell_is_no_sweep() -> None:
    (found,) = commands_of(trials_of([["init=he"]]))
    assert found.startswith("python -m initsuite.train dataset=digits ")


def test_protocol_and_seeds() -> None:
    parts = [trials_of([["init=he,zero"]], "standard", 10), trials_of([["init=he,zero"]], "quick", 6)]
    endings = [found.split(" init=he,zero ")[1] for found in commands_of(pd.concat(parts))]
    assert endings == ["protocol=standard seeds=10", "protocol=quick seeds=6"]


def test_no_seeds_before_any_is_scored() -> None:
    (found,) = commands_of(trials_of([["init=he"]]).assign(stage="tune"))
    assert found.endswith("init=he protocol=quick")


def test_one_lr_for_all_is_named() -> None:
    trials = trials_of([["init=he,zero", "protocol=fixed", "optimizer.lr=0.1"]], "fixed", 3)
    (found,) = commands_of(trials)
    assert found.endswith("optimizer=sgd optimizer.lr=0.1 init=he,zero protocol=fixed seeds=3")


QUICK = ("quickstart",)
"""Experiments that are composed in a second."""
EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in EXPERIMENTS]
)
def test_experiments_are_made_by_their_name(name: str) -> None:
    trials = trials_of([[f"experiment={name}"]], experiment=name)
    found = commands_of(trials)
    for command in found:
        assert command.startswith(f"python -m initsuite.train -m experiment={name} ")
        assert command.endswith(" protocol=quick seeds=6")
    made = configs_composed(found)
    assert len(made) == len(set(made))
    assert set(made) == configs(trials)


def test_an_experiment_has_a_command_for_each_protocol() -> None:
    parts = [
        trials_of([["experiment=quickstart"]], name, seeds, "quickstart")
        for name, seeds in (("quick", 6), ("smoke", 1))
    ]
    start = "python -m initsuite.train -m experiment=quickstart init=zero,normal,xavier,he,orthogonal"
    assert commands_of(pd.concat(parts, ignore_index=True)) == [
        f"{start} protocol=quick seeds=6",
        f"{start} protocol=smoke seeds=1",
    ]


def test_an_interrupted_experiment_is_still_that_experiment() -> None:
    trials = trials_of([["experiment=quickstart"]], experiment="quickstart").iloc[:13]  # the third cell is not complete
    (found,) = commands_of(trials)
    assert found == (
        "python -m initsuite.train -m experiment=quickstart init=zero,normal,xavier protocol=quick seeds=6"
    )


def test_a_part_of_an_experiment_is_narrowed() -> None:
    trials = trials_of([["experiment=depth", "activation=relu", "init=he,zero"]], experiment="depth")
    (found,) = commands_of(trials)
    assert found == (
        "python -m initsuite.train -m experiment=depth model.depth=2,4,8,16,30,60 activation=relu init=he,zero "
        "protocol=quick seeds=6"
    )
    assert set(configs_composed([found])) == configs(trials)


def test_a_changed_experiment_is_spelled_out() -> None:
    trials = trials_of([["experiment=quickstart", "model.width=128"]], experiment="quickstart")
    (found,) = commands_of(trials)
    assert "experiment" not in found
    assert set(configs_composed([found])) == configs(trials)


def test_an_unknown_experiment_is_spelled_out() -> None:
    (found,) = commands_of(trials_of([["init=he,zero"]], experiment="../somewhere"))
    assert "experiment" not in found


def test_cells_are_neither_lost_nor_made_up() -> None:
    cells = [{"a": a, "b": b} for a in "12" for b in "345" if (a, b) != ("2", "5")]
    found = merged(cells)
    made = [(a, b) for sweep in found for a in sweep["a"] for b in sweep["b"]]
    assert sorted(made) == sorted((cell["a"], cell["b"]) for cell in cells)
    assert len(found) == 2


def test_trials_without_overrides_have_no_command_but_a_way_to_get_one() -> None:
    trials = trials_of([["init=he,zero"]])
    mixed = trials.assign(overrides=trials.overrides.where(trials.index >= 6))
    (found,) = commands_of(mixed)
    assert " init=zero " in found
    said = without_command(cast(Report, SimpleNamespace(trials=mixed)))
    assert said.startswith("6 trials were stored by an older version, without the overrides that make them")
    assert said.endswith("python -m initsuite.results migrate RESULTS_DIR")
    none = cast(Report, SimpleNamespace(trials=trials.assign(overrides=None)))
    assert commands(none) == []
    assert without_command(cast(Report, SimpleNamespace(trials=trials))) == ""
