"""Every initializer of conf/init x every promise of the contract."""

from __future__ import annotations

import functools
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_object
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from initsuite import init
from initsuite.activations import activation
from initsuite.apply.account import declared_std
from initsuite.config import catalogue
from initsuite.errors import ConfigError
from initsuite.init import as_initializer
from initsuite.init.base.compose import ByLaws
from initsuite.models import Cnn, Gru, Lstm, Mlp, ResNet, Rnn, Siren, Vit
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Initializer, Params, ParamSpec, Probe, Role
from support.laws import FALSE_ALARM, chi_square_p

CONF = Path(__file__).parents[2] / "conf" / "init"
FILES = sorted(path for path in CONF.glob("*.yaml") if path.stem != "custom")
WITHOUT_DRAWS = {"constant", "identity", "sinusoidal", "zero", "zero_hadamard"}
"""Their tensors do not depend on the seed."""
DRAWN_BIASES = {"he_random_biases", "asymmetric", "data_dependent", "normal", "rezero", "torch_default"}
"""All others set biases to 0."""
DRAWN_BIASES_BEFORE = {"critical": "tanh", "isometric": "tanh"}
"""They draw biases in networks of this nonlinearity, and set them to 0 in the others here."""
SET_BIASES: dict[str, Callable[[ParamSpec], bool]] = {
    "chrono": lambda spec: not {"forget_gate", "update_gate"}.isdisjoint(spec.parts),
    "focal_prior": lambda spec: spec.is_head,
}
"""They set these biases alone, to values other than 0."""
REFUSED = {"irnn": {"mlp", "mlp-bn", "cnn"}, "random_walk": {"mlp-bn", "cnn", "rnn"}}
"""Models of the table below that an initializer is not for, and says so."""
RESCALED = {"data_dependent", "gradinit", "lsuv", "metainit"}
"""They multiply what they draw by factors that depend on the whole model."""
RESCALED_NORMS = {"gradinit"}
ZEROED_NORMS = {"zero_gamma"}
"""Of the norms that end a residual branch; all others leave norm scales at 1."""
BRANCH_SCALES = {"layer_scale": 0.1, "rezero": 0, "skipinit": 0}
"""All others leave branch scales at 1."""
QUICK = {"gradinit": {"steps": 3}, "metainit": {"steps": 3}}
"""Enough of an optimization to see what it promises."""
UNDECLARED = {"asymmetric", "autoinit", "data_dependent", "gradinit", "lsuv", "metainit", "mimetic"}
"""They compute the tensors of a model together, so that no variance of one is known before."""
FEW_ENTRIES = {"icnr", "sparse"}
"""Many of their entries are 0 or equal: the chi-square test would count too many."""
RELU = activation("relu")
MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: Mlp((64,), 10, RELU, widths=[256, 64]),
    "mlp-bn": lambda: Mlp((64,), 10, activation("tanh"), widths=[256, 64], norm="batch"),
    "cnn": lambda: Cnn((3, 8, 8), 10, activation("leaky_relu"), channels=[8, 24], norm="batch"),
    "rnn": lambda: Rnn((3, 8, 16), 10, activation("tanh"), depth=2, width=24),
}
BOUND_MODELS: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: ResNet((3, 8, 8), 10, RELU, depth=8, width=8),
    "resnet-nonorm": lambda: ResNet((3, 8, 8), 10, RELU, depth=8, width=8, norm="none"),
    "resnet-scaled": lambda: ResNet((3, 8, 8), 10, RELU, depth=8, width=8, norm="none", branch_scale=True),
    "resnet-fixup": lambda: ResNet((3, 8, 8), 10, RELU, depth=8, width=8, norm="none", fixup=True),
    "vit": lambda: Vit((3, 8, 8), 10, RELU, depth=2, width=16, heads=2, pool="class"),
    "vit-nonorm": lambda: Vit((3, 8, 8), 10, RELU, depth=2, width=16, heads=2, norm="none"),
    "vit-sub": lambda: Vit((3, 8, 8), 10, RELU, depth=2, width=16, heads=2, norm="sub"),
    "vit-deepnorm": lambda: Vit((3, 8, 8), 10, RELU, depth=2, width=16, heads=2, norm="post", deepnorm=True),
    "lstm": lambda: Lstm((3, 8, 16), 10, activation("tanh"), depth=2, width=24),
    "gru": lambda: Gru((3, 8, 16), 10, activation("tanh"), depth=2, width=24),
    "shuffle": lambda: nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 12, 3, padding=1), nn.PixelShuffle(2)
    ),
    "siren": lambda: Siren((2,), 10, activation("sine"), depth=3, width=64),
}
RESIDUAL = BOUND_MODELS.keys() - {"gru", "lstm", "shuffle", "siren"}
SUPPORTED: dict[str, set[str]] = {
    "chrono": {"gru", "lstm"},
    "complete_p": RESIDUAL - {"resnet"},
    "deepnorm": {"vit-deepnorm"},
    "depth_mup": RESIDUAL - {"resnet"},
    "ds_init": RESIDUAL,
    "fixup": {"resnet-fixup", "resnet-nonorm", "resnet-scaled", "vit-nonorm"},
    "gpt2": RESIDUAL,
    "icnr": {"shuffle"},
    "kan_power": set(),  # no model of ours has such layers, or adapters: see tests/theory
    "layer_scale": {"resnet-scaled"},
    "lm_depth": RESIDUAL,
    "lora": set(),
    "mimetic": {"vit", "vit-nonorm", "vit-sub", "vit-deepnorm"},
    "mitchell": RESIDUAL,
    "pissa": set(),
    "rezero": {"resnet-scaled"},
    "siren": {"siren"},
    "skipinit": {"resnet-scaled"},
    "small_init": RESIDUAL,
    "stable_resnet": RESIDUAL - {"resnet"},
    "sub_ln": {"vit-sub"},
    "t_fixup": {"vit-nonorm"},
    "zero_closing": RESIDUAL,
    "zero_gamma": {"resnet"},
}
"""Models of the architecture-bound initializers; all others are tried on `MODELS`, but for those they refuse."""
ALL_MODELS = MODELS | BOUND_MODELS
REFUSED |= {stem: ALL_MODELS.keys() - models for stem, models in SUPPORTED.items()}
CASES = [
    pytest.param(path, build, id=f"{path.stem}-{name}")
    for path in FILES
    for name, build in (BOUND_MODELS if path.stem in SUPPORTED else MODELS).items()
    if name not in REFUSED.get(path.stem, ())
]
EVERY_CASE = pytest.mark.parametrize(("path", "build"), CASES)
ON_MLP = pytest.mark.parametrize(
    "path", [path for path in FILES if "mlp" not in REFUSED.get(path.stem, ())], ids=lambda path: path.stem
)
"""For tests on ReLU networks of their own."""
SEQUENCE, IMAGE = (3, 8, 16), (3, 8, 8)
INPUT_SHAPES = {
    **dict.fromkeys((Rnn, Lstm, Gru), SEQUENCE),
    **dict.fromkeys((Cnn, ResNet, Vit, nn.Sequential), IMAGE),
    Mlp: (64,),
    Siren: (2,),
}


def options_of(path: Path) -> dict[str, Any]:
    tree = catalogue.choice(path.stem)
    assert tree.pop("name") == path.stem
    tree.pop("requires", None)  # read by config, and met by the models here
    return tree | QUICK.get(path.stem, {})


def law_of(path: Path) -> Any:
    options = options_of(path)
    return get_object(options.pop("_target_"))(**options)


def probe_for(model: nn.Module) -> Probe:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(64, *INPUT_SHAPES[type(model)], generator=generator)
    return Probe(inputs, torch.randint(0, 10, (64,), generator=generator), cross_entropy)


@functools.cache
def described(build: Callable[[], nn.Module]) -> tuple[ParamSpec, ...]:
    """The facts about a model, once for all laws: they depend on nothing else."""
    return tuple(describe(skeleton(build)))


def start(initializer: Initializer, build: Callable[[], nn.Module], seed: int = 0) -> Params:
    model = skeleton(build)
    return initializer(model, described(build), seed=seed, probe=probe_for(model)).params


@functools.cache
def first_start(path: Path, build: Callable[[], nn.Module]) -> Params:
    """Of seed 0, for the tests that only look at it."""
    return start(as_initializer(law_of(path)), build)


def same(first: Params, second: Params) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def initializer(path: Path) -> Initializer:
    return as_initializer(law_of(path))


@pytest.mark.parametrize(("stem", "model"), [(stem, model) for stem in REFUSED for model in sorted(REFUSED[stem])])
def test_it_refuses_models_that_it_is_not_for(stem: str, model: str) -> None:
    with pytest.raises(ConfigError, match=r"Expected .* Use "):
        start(as_initializer(law_of(CONF / f"{stem}.yaml")), ALL_MODELS[model])


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


@EVERY_CASE
def test_it_returns_every_parameter_as_the_contract_says(path: Path, build: Callable[[], nn.Module]) -> None:
    params = first_start(path, build)
    expected = dict(build().named_parameters())
    assert list(params) == list(expected)
    for name, tensor in params.items():
        assert tensor.shape == expected[name].shape
        assert (tensor.dtype, tensor.device.type, tensor.requires_grad) == (torch.float32, "cpu", False)
        assert tensor.isfinite().all()


@EVERY_CASE
def test_the_seed_alone_decides(path: Path, initializer: Initializer, build: Callable[[], nn.Module]) -> None:
    first = first_start(path, build)
    torch.manual_seed(5)  # the global stream plays no part
    before = torch.get_rng_state()
    assert same(first, start(initializer, build))
    assert torch.equal(before, torch.get_rng_state())
    assert same(first, start(initializer, build, seed=1)) == (path.stem in WITHOUT_DRAWS)


@ON_MLP
def test_tensors_of_one_model_are_drawn_apart(path: Path, initializer: Initializer) -> None:
    params = start(initializer, lambda: Mlp((64,), 64, RELU, depth=2, width=64))
    first, second = params["layers.linear1.weight"], params["layers.linear2.weight"]
    assert torch.equal(first, second) == (path.stem in WITHOUT_DRAWS)


@EVERY_CASE
def test_other_tensors_and_their_order_move_no_draw(initializer: Initializer, build: Callable[[], nn.Module]) -> None:
    model = skeleton(build)
    specs = described(build)
    probe = probe_for(model)
    params = initializer(model, specs, seed=0, probe=probe).params
    turned = initializer(model, specs[::-1], seed=0, probe=probe).params
    assert same(dict(sorted(params.items())), dict(sorted(turned.items())))


@ON_MLP
def test_an_added_layer_moves_no_draw_of_the_others(path: Path, initializer: Initializer) -> None:
    shallow = start(initializer, lambda: Mlp((64,), 10, RELU, widths=[256, 64]))
    deeper = start(initializer, lambda: Mlp((64,), 10, RELU, widths=[256, 64, 64]))
    if path.stem in RESCALED:
        for name in (name for name in shallow if name.endswith("weight")):
            torch.testing.assert_close(normalize(shallow[name]), normalize(deeper[name]))
    else:
        assert same(shallow, {name: deeper[name] for name in shallow})


@EVERY_CASE
def test_the_model_is_not_touched(initializer: Initializer, build: Callable[[], nn.Module]) -> None:
    model = skeleton(build)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    initializer(model, described(build), seed=0, probe=probe_for(model))
    assert all(parameter.is_meta for parameter in model.parameters())
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())


@EVERY_CASE
def test_the_variance_is_the_declared_one(path: Path, initializer: Initializer, build: Callable[[], nn.Module]) -> None:
    """Over 10,000 entries and more of all tensors, each divided by its declared std; what declares 0 is constant."""
    model = skeleton(build)
    specs = described(build)
    laws = initializer.laws(model, specs) if isinstance(initializer, ByLaws) else {}
    stds = {spec.name: declared_std(*laws.get(spec.name, (initializer, spec))) for spec in specs}
    declared = {name: std for name, std in stds.items() if math.isfinite(std)}
    assert bool(declared) != (path.stem in UNDECLARED)
    entries: list[Tensor] = []
    seed = 0
    while sum(map(len, entries)) < 10_000 and any(declared.values()):
        params = initializer(model, specs, seed=seed).params
        entries += [params[name].flatten() / std for name, std in declared.items() if std]
        assert all((params[name] == params[name].flatten()[0]).all() for name, std in declared.items() if not std)
        seed += 1
    if entries and path.stem not in FEW_ENTRIES:
        assert chi_square_p(torch.cat(entries), 1.0) > FALSE_ALARM
    elif entries:
        assert float(torch.cat(entries).square().mean()) == pytest.approx(1, rel=0.1)


@EVERY_CASE
def test_biases_and_norms_are_as_declared(path: Path, build: Callable[[], nn.Module]) -> None:
    params, specs = first_start(path, build), described(build)
    nonlinearities = {spec.nonlinearity.name for spec in specs if spec.nonlinearity}
    set_biases = SET_BIASES.get(path.stem)
    are_drawn = path.stem in DRAWN_BIASES or DRAWN_BIASES_BEFORE.get(path.stem) in nonlinearities
    for spec in specs:
        if spec.role is Role.BIAS:
            assert bool(params[spec.name].any()) == (set_biases(spec) if set_biases else are_drawn)
        elif spec.role is Role.NORM_SCALE:
            scale = params[spec.name]
            one = 0 if path.stem in ZEROED_NORMS and spec.closes_residual else 1
            assert (scale == (scale[0] if path.stem in RESCALED_NORMS else one)).all()
        elif spec.role is Role.BRANCH_SCALE:
            assert (params[spec.name] == BRANCH_SCALES.get(path.stem, 1)).all()
        elif spec.role is Role.MULTIPLIER:
            assert (params[spec.name] == 1).all()
        elif spec.role is Role.NORM_SHIFT:
            assert not params[spec.name].any()
