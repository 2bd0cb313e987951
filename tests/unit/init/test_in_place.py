"""Plain functions as laws: the numbers of the function itself, from the stream of the tensor."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import initsuite
from initsuite import rng
from initsuite.config.build import build_tree
from initsuite.config.sweep import compose_sweep
from initsuite.errors import ConfigError, InitsuiteError
from initsuite.init import as_initializer
from initsuite.init.base.compose import PerTensor
from initsuite.init.in_place import InPlace, works_in_place


def spread_(tensor: Tensor, width: float = 1.0) -> None:
    """A user's function that draws from the global stream."""
    tensor.uniform_(-width, width)


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 5))


@pytest.mark.parametrize("function", [nn.init.kaiming_normal_, nn.init.xavier_uniform_, nn.init.orthogonal_])
def test_each_weight_is_what_the_function_makes_of_its_stream(function: Any) -> None:
    mine = model()
    initsuite.initialize_(mine, function, seed=3)
    for name in ("0.weight", "2.weight"):
        expected = torch.empty_like(mine.get_parameter(name))
        function(expected, generator=rng.generator(3, "init", name))
        assert torch.equal(mine.get_parameter(name), expected)
        assert not mine.get_parameter(name.replace("weight", "bias")).any()


def test_one_that_draws_from_the_global_stream_has_a_seed_and_leaves_it_as_it_was() -> None:
    first, again, other = model(), model(), model()
    before = torch.random.get_rng_state()
    for each, seed in ((first, 0), (again, 0), (other, 1)):
        initsuite.initialize_(each, spread_, seed=seed)
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [
        torch.cat([each.get_parameter(f"{place}.weight").flatten() for place in (0, 2)])
        for each in (first, again, other)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert weights[0].abs().max() <= 1
    assert abs(weights[0].var().item() * 3 - 1) < 0.2, "uniform on [-1, 1], 680 entries: five sigma of its variance"


def cell(*overrides: str) -> Any:
    (job,) = compose_sweep(["model.width=8", *(overrides if "init=he" in overrides else ("init=custom", *overrides))])
    assert job.tree is not None
    return build_tree(job.tree)[0].cell


def test_the_command_line_takes_one_by_its_path_with_options() -> None:
    plain = cell("init._target_=torch.nn.init.kaiming_normal_")
    relu = cell("init._target_=torch.nn.init.kaiming_normal_", "+init.nonlinearity=relu", "+init.mode=fan_out")
    assert plain.axes["init"] == "kaiming_normal_"
    assert relu.axes["init"] in (
        "kaiming_normal_(nonlinearity=relu, mode=fan_out)",
        "kaiming_normal_(mode=fan_out, nonlinearity=relu)",
    )
    assert plain.cell_id != relu.cell_id
    assert plain.context_id == relu.context_id
    assert relu.initializer.weight == InPlace(nn.init.kaiming_normal_, (("mode", "fan_out"), ("nonlinearity", "relu")))


def test_options_are_checked_before_anything_is_drawn() -> None:
    with pytest.raises(ConfigError, match=r"sparse_: missing option `sparsity`.*init.sparsity=VALUE"):
        cell("init._target_=torch.nn.init.sparse_")
    with pytest.raises(ConfigError, match=r"ones_: unknown `option`='val'. Expected one of: .it has none"):
        InPlace(nn.init.ones_, (("val", 3),))
    with pytest.raises(ConfigError, match=r"init=custom init._target_=torch.nn.init.eye_"):
        cell("init=he", "init._target_=torch.nn.init.eye_")


def test_laws_of_the_contract_are_not_taken_for_such_functions() -> None:
    def law_(spec, generator):
        return torch.zeros(spec.shape)

    assert not works_in_place(law_)
    assert isinstance(as_initializer(law_), PerTensor)
    assert not works_in_place(nn.init.kaiming_normal)  # torch's former name, which warns
    assert not works_in_place(InPlace(nn.init.ones_))
    assert isinstance(as_initializer(lambda spec, generator: torch.zeros(spec.shape)), PerTensor)


def test_a_partial_and_a_function_of_one_tensor_alone() -> None:
    """The same draws as with options; one that draws from the global stream has the std that it was given.

    64 x 64 entries: the std is known to 1.1 % (one standard error).
    """
    weights = []
    for law in (functools.partial(nn.init.normal_, std=0.1), InPlace(nn.init.normal_, (("std", 0.1),)),
                lambda weight: nn.init.normal_(weight, std=0.1)):  # fmt: skip
        layer = nn.Linear(64, 64)
        initsuite.initialize_(layer, law)
        weights.append(layer.weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert float(weights[2].std()) == pytest.approx(0.1, rel=0.05)


def test_a_function_that_returns_a_tensor_and_fills_none_is_noticed() -> None:
    with pytest.raises(InitsuiteError, match="finite"):
        initsuite.initialize_(nn.Linear(8, 8), lambda weight: torch.zeros(8, 8))
