"""The files of conf/dataset and conf/optimizer name what exists, with options it accepts."""

from __future__ import annotations

import importlib
import inspect
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from initsuite.data.losses import LOSSES, SCORES
from initsuite.protocol.yardstick import METRICS, yardstick_of

CONF = Path(__file__).parents[3] / "conf"
DATASETS = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml") if path.stem != "custom")
OPTIMIZERS = sorted(path.stem for path in (CONF / "optimizer").glob("*.yaml"))
METADATA = {"batch_size", "max_steps", "eval_every", "loss", "metric", "direction", "chance", "levels"}
SIZES = {
    "digits": 1197,
    "fashion_mnist": 55_000,
    "mnist": 55_000,
    "kmnist": 55_000,
    "cifar10": 45_000,
    "cifar100": 45_000,
    "svhn": 68_025,
}
VARIANTS = {"nesterov": ("sgd-nesterov", {"nesterov": True})}
"""Files that differ from the defaults of their class: the kind of what they make, and how."""


def load(group: str, name: str) -> dict[str, Any]:
    top = OmegaConf.create({"data_dir": None, group: OmegaConf.load(CONF / group / f"{name}.yaml")})
    content = OmegaConf.to_container(top[group], resolve=True, throw_on_missing=False)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def target(content: dict[str, Any]) -> Any:
    module, _, attribute = content["_target_"].rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", DATASETS)
def test_a_data_set_names_its_loader_and_the_options_it_takes(name: str) -> None:
    content = load("dataset", name)
    options = set(inspect.signature(target(content)).parameters)
    assert content.keys() - METADATA - {"name", "_target_"} == options
    assert content["name"] == name
    assert content["loss"] in LOSSES


@pytest.mark.parametrize("name", [*DATASETS, "custom"])
def test_a_data_set_has_all_metadata(name: str) -> None:
    content = load("dataset", name)
    assert content.keys() >= METADATA
    assert content["chance"] is None or yardstick_of(content).levels == content["levels"]
    assert METRICS[content["metric"]].direction == content["direction"]
    assert content["max_steps"] % content["eval_every"] == 0


@pytest.mark.parametrize("name", sorted(SIZES.keys() - {"digits"}))
def test_the_larger_sets_are_evaluated_ten_times_an_epoch_for_three_epochs(name: str) -> None:
    content = load("dataset", name)
    epochs = content["max_steps"] * content["batch_size"] / SIZES[name]
    assert content["max_steps"] / content["eval_every"] == 30
    assert epochs == pytest.approx(3, rel=0.01)  # rounded to whole evaluations


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_built_from_its_file(name: str) -> None:
    content = load("optimizer", name)
    grid, lr = content.pop("lr_grid"), content.pop("lr")
    assert content.pop("family") in ("adam", "sgd")
    options = {key: value for key, value in content.items() if key not in {"name", "_target_"}}
    optimizer = target(content)(**options)
    kind, differing = VARIANTS.get(name, (name, {}))
    assert optimizer == target(content)(**differing)  # the file shows the defaults of the class
    assert (optimizer.kind, content["name"]) == (kind, name)
    assert lr is None
    assert len(grid) == 7
    ratios = [high / low for low, high in pairwise(grid)]
    assert ratios == pytest.approx([10**0.5] * 6, rel=0.01)


def test_custom_waits_for_a_function() -> None:
    assert load("dataset", "custom")["_target_"] == "???"


def test_every_metric_has_a_scale_and_a_function() -> None:
    own = {"loss", "score", "error"}  # a person's, who gives the function, too
    assert METRICS.keys() == SCORES.keys() | own
