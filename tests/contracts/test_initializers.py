"""Every initializer of conf/init x every promise of the contract."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra.utils import get_object
from torch import nn

from initsuite import init
from initsuite.activations import activation
from initsuite.init import as_initializer
from initsuite.models import Cnn, Mlp, Rnn
from initsuite.models.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Initializer, Params, Role

CONF = Path(__file__).parents[2] / "conf" / "init"
FILES = sorted(path for path in CONF.glob("*.yaml") if path.stem != "custom")
WITHOUT_DRAWS = {"zero"}
"""Their tensors do not depend on the seed."""
DRAWN_BIASES = {"normal", "torch_default"}
"""All others set biases to 0."""
RELU = activation("relu")
MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: Mlp((64,), 10, RELU, widths=[256, 64]),
    "mlp-bn": lambda: Mlp((64,), 10, activation("tanh"), widths=[256, 64], norm="batch"),
    "cnn": lambda: Cnn((3, 8, 8), 10, activation("leaky_relu"), channels=[8, 24], norm="batch"),
    "rnn": lambda: Rnn((3, 8, 16), 10, activation("tanh"), depth=2, width=24),
}


def options_of(path: Path) -> dict[str, Any]:
    tree = yaml.safe_load(path.read_text())
    assert tree.pop("name") == path.stem
    return tree


def law_of(path: Path) -> Any:
    options = options_of(path)
    return get_object(options.pop("_target_"))(**options)


def start(initializer: Initializer, build: Callable[[], nn.Module], seed: int = 0) -> Params:
    model = skeleton(build)
    return initializer(model, describe(model), seed=seed).params


def same(first: Params, second: Params) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def initializer(path: Path) -> Initializer:
    return as_initializer(law_of(path))


@pytest.fixture(params=MODELS.values(), ids=list(MODELS))
def build(request: pytest.FixtureRequest) -> Callable[[], nn.Module]:
    return request.param


def test_all_five_of_the_article_are_found() -> None:
    assert {"zero", "normal", "xavier", "he", "orthogonal", "torch_default"} <= {path.stem for path in FILES}


def test_it_prints_as_its_configuration(path: Path, initializer: Initializer) -> None:
    assert eval(repr(initializer), dict(vars(init))) == initializer
    options = options_of(path)
    assert options.pop("_target_").rpartition(".")[2] == type(law_of(path)).__name__
    for name, value in options.items():
        assert f"{name}={value!r}" in repr(initializer)


def test_it_hashes_pickles_and_is_frozen(initializer: Initializer) -> None:
    assert hash(initializer) == hash(pickle.loads(pickle.dumps(initializer)))
    assert initializer == pickle.loads(pickle.dumps(initializer))
    with pytest.raises(AttributeError):
        initializer.gain = 3  # type: ignore[attr-defined]


def test_every_line_of_its_file_has_a_range(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    assert all("  # " in line for line in lines if line.partition(":")[0] not in ("name", "_target_"))


def test_it_returns_every_parameter_as_the_contract_says(
    initializer: Initializer, build: Callable[[], nn.Module]
) -> None:
    params = start(initializer, build)
    expected = dict(build().named_parameters())
    assert list(params) == list(expected)
    for name, tensor in params.items():
        assert tensor.shape == expected[name].shape
        assert (tensor.dtype, tensor.device.type, tensor.requires_grad) == (torch.float32, "cpu", False)
        assert tensor.isfinite().all()


def test_the_seed_alone_decides(path: Path, initializer: Initializer, build: Callable[[], nn.Module]) -> None:
    first = start(initializer, build)
    torch.manual_seed(5)  # the global stream plays no part
    before = torch.get_rng_state()
    assert same(first, start(initializer, build))
    assert torch.equal(before, torch.get_rng_state())
    assert same(first, start(initializer, build, seed=1)) == (path.stem in WITHOUT_DRAWS)


def test_tensors_of_one_model_are_drawn_apart(path: Path, initializer: Initializer) -> None:
    params = start(initializer, lambda: Mlp((64,), 64, RELU, depth=2, width=64))
    first, second = params["layers.linear1.weight"], params["layers.linear2.weight"]
    assert torch.equal(first, second) == (path.stem in WITHOUT_DRAWS)


def test_other_tensors_and_their_order_move_no_draw(initializer: Initializer, build: Callable[[], nn.Module]) -> None:
    model = skeleton(build)
    specs = describe(model)
    params = initializer(model, specs, seed=0).params
    assert same(dict(sorted(params.items())), dict(sorted(initializer(model, specs[::-1], seed=0).params.items())))


def test_an_added_layer_moves_no_draw_of_the_others(initializer: Initializer) -> None:
    shallow = start(initializer, lambda: Mlp((64,), 10, RELU, widths=[256, 64]))
    deeper = start(initializer, lambda: Mlp((64,), 10, RELU, widths=[256, 64, 64]))
    assert same(shallow, {name: deeper[name] for name in shallow})


def test_the_model_is_not_touched(initializer: Initializer, build: Callable[[], nn.Module]) -> None:
    model = skeleton(build)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    initializer(model, describe(model), seed=0)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())


def test_biases_and_norms_are_as_declared(path: Path, initializer: Initializer, build: Callable[[], nn.Module]) -> None:
    params = start(initializer, build)
    for spec in describe(skeleton(build)):
        if spec.role is Role.BIAS:
            assert bool(params[spec.name].any()) == (path.stem in DRAWN_BIASES)
        elif spec.role is Role.NORM_SCALE:
            assert (params[spec.name] == 1).all()
        elif spec.role is Role.NORM_SHIFT:
            assert not params[spec.name].any()
