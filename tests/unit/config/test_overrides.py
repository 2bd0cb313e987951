"""The overrides that are stored with a trial, composed by Hydra: they give the cell that they were made from."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, cast

import pytest

from initsuite.config.groups import conf_dir
from initsuite.config.overrides import overrides_text
from initsuite.config.sweep import compose_sweep

EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))
QUICK = ("quickstart",)
"""Experiments that are composed in a second."""
COMMON = {"dataset": "digits", "model": "mlp", "activation": "relu", "optimizer": "sgd", "init": "he"}


def trees_of(*overrides: str) -> list[dict[str, Any]]:
    jobs = compose_sweep(overrides)
    assert all(job.tree is not None for job in jobs), [job.error for job in jobs]
    return [cast("dict[str, Any]", job.tree) for job in jobs]


def stored(tree: dict[str, Any], experiment: str = "") -> dict[str, str]:
    return json.loads(overrides_text(tree, experiment))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ((), {}),
        (("model.depth=8", "model.width=64"), {"model.depth": "8"}),
        (("max_steps=40",), {"max_steps": "40"}),
        (("dataset.max_steps=40",), {"dataset.max_steps": "40"}),
        (("schedule=cosine",), {"schedule": "cosine"}),
        (("init=mup",), {"init": "mup"}),  # whose file refers to the optimizer
        (("init=skipinit", "model=resnet"), {"init": "skipinit", "model": "resnet"}),
        (("protocol=fixed", "optimizer.lr=0.1", "seeds=3", "data_dir=/x", "device=cpu"), {}),  # how to run
        (("+init.requires={model.norm:batch}",), {"+init.requires": "{model.norm:batch}"}),
        (
            ("init=skipinit", "model=resnet", "init.requires=null"),
            {"init": "skipinit", "model": "resnet", "init.requires": "null"},
        ),
        (("+model.note='a b'",), {"+model.note": "'a b'"}),
        (
            ("init=custom", "init._target_=mypkg.Mine", "+init.std=1e-3"),
            {"init": "custom", "init._target_": "mypkg.Mine", "+init.std": "0.001"},
        ),
    ],
)
def test_overrides_are_the_choices_and_what_differs_from_their_files(
    asked: tuple[str, ...], found: dict[str, str]
) -> None:
    (tree,) = trees_of(*asked)
    assert stored(tree) == {**COMMON, **found}
    (again,) = trees_of(*(f"{key}={value}" for key, value in stored(tree).items()))
    assert again["init"] == tree["init"]
    assert stored(again) == stored(tree)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in EXPERIMENTS]
)
def test_cells_of_an_experiment_have_its_name_and_its_axes(name: str) -> None:
    jobs = compose_sweep([f"experiment={name}"])
    asked = [dict(text.split("=", 1) for text in job.overrides) for job in jobs]
    swept = [key for key in asked[0] if len({one[key] for one in asked}) > 1]
    for job, one in zip(jobs, asked, strict=True):
        assert job.tree is not None
        assert stored(job.tree, name) == {"experiment": name, **{key: one[key] for key in swept}}


def test_a_cell_that_an_experiment_does_not_plan_is_spelled_out() -> None:
    (tree,) = trees_of("experiment=quickstart", "init=he", "model.width=128")
    assert stored(tree, "quickstart") == {**COMMON, "model.width": "128"}


def test_a_name_without_a_file_is_no_experiment() -> None:
    (tree,) = trees_of("init=he")
    assert stored(tree, "../somewhere") == stored(tree, "mine") == COMMON


def test_a_configuration_of_another_program_has_what_it_says() -> None:
    assert stored({}) == {}
    assert stored({"model": {"name": "mlp", "depth": 3}, "dataset": None}) == {"model": "mlp", "model.depth": "3"}


def test_overrides_are_made_without_torch_or_hydra() -> None:
    code = "import sys, initsuite.config.overrides; sys.exit(bool({'torch', 'hydra'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
