"""The laws that draw other numbers than a former version did with the same options, and why."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from torch import nn

from initsuite.config import catalogue
from initsuite.config.groups import identity, shipped_file, target_of
from initsuite.config.initializer import init_identity

CORRECTED = {
    "DataDependent": (
        2,
        "the outputs lost their std in networks that are not homogeneous; repeated layers did not settle",
    ),
    "AutoInit": (2, "pooling, dropout, padding and gates that forward calls, and operands of a sum, were not seen"),
    "GradInit": (2, "it could end outside of its constraint"),
    "Lsuv": (2, "a layer that is used several times went round in a cycle"),
    "TFixup": (2, "positions were shrunk like tokens"),
    "MetaInit": (2, "the norms of a lucky batch were kept, also where they were worse than the start"),
    "Sinusoidal": (2, "the phases of the rows of one frequency did not share half a turn evenly"),
}
"""The version and the reason, by class; all others are at version 1. Cells of a corrected law get ids of their own."""


def versions() -> dict[str, Any]:
    """`law_version` of every class that conf/init names."""
    classes = {target_of("init", catalogue.choice(name)) for name in catalogue.names()}
    return {each.__name__: getattr(each, "law_version", 1) for each in classes}


def test_the_list_is_complete() -> None:
    above = {name: version for name, version in versions().items() if not callable(version) and version != 1}
    assert above == {name: version for name, (version, _) in CORRECTED.items()}
    assert all(reason for _, reason in CORRECTED.values())


@pytest.mark.parametrize("name", catalogue.names())
def test_the_version_is_part_of_an_id_only_above_1(name: str) -> None:
    tree, model = catalogue.choice(name), nn.Linear(2, 2)
    version = CORRECTED.get(target_of("init", tree).__name__, (1, ""))[0]
    assert init_identity(tree, lambda: model) == identity("init", tree) | (
        {"law_version": version} if version > 1 else {}
    )


def test_the_option_that_the_truncated_normal_got_moves_no_cell() -> None:
    tree = catalogue.choice("truncated_normal")
    assert identity("init", tree)["options"] == {"std": 0.02, "cut": 2.0}
    assert identity("init", {**tree, "convention": "torch"})["options"]["convention"] == "torch"


@pytest.mark.parametrize("model", ["transformer", "vit"])
def test_the_option_that_the_transformers_got_moves_no_cell(model: str) -> None:
    tree = shipped_file("model", model)
    assert "scale_tokens" not in identity("model", tree)["options"]
    assert identity("model", {**tree, "scale_tokens": True})["options"]["scale_tokens"]


class Law:
    """A user's, corrected on models without a bias alone, with an option that came later."""

    added_options: ClassVar = {"new": 1}

    def __init__(self, old: int = 0, new: int = 1) -> None: ...

    @staticmethod
    def law_version(model: nn.Linear) -> int:
        return 1 if model.bias is not None else 3


def test_a_law_may_be_corrected_on_some_models_only() -> None:
    tree = {"name": "custom", "_target_": f"{__name__}:Law"}
    assert "law_version" not in init_identity(tree, lambda: nn.Linear(2, 2))
    assert init_identity(tree, lambda: nn.Linear(2, 2, bias=False))["law_version"] == 3


def test_an_option_that_came_later_is_part_of_an_id_only_where_it_changes_something() -> None:
    tree = {"name": "custom", "_target_": f"{__name__}:Law", "old": 1}
    assert identity("init", {**tree, "new": 1}) == identity("init", tree)
    assert identity("init", {**tree, "new": 2})["options"] == {"old": 1, "new": 2}
