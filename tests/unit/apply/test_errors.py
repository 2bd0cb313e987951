"""What `initialize_` refuses, and that an error leaves the model as it was."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import distributed, nn

import initsuite
from initsuite.config import catalogue
from initsuite.errors import ConfigError, InitsuiteError
from initsuite.init import Constant, VarianceScaling
from initsuite.spec import Initialization, Probe
from support.users import Whole, convnet, mlp, same, state

# ---- an error leaves the model as it was ----------------------------------------------------------------------------


def spoil(model: nn.Module) -> None:
    """What no initializer may do."""
    model.eval()
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            value.zero_()
    raise RuntimeError("half way")


@pytest.mark.parametrize(
    ("initializer", "message"),
    [
        (Whole(spoil), "Whole failed. RuntimeError: half way"),
        (Whole(change=lambda params: None), "Whole: bad result of type NoneType"),
        (Whole(change=lambda params: Initialization({})), r"bad parameters `0.bias`=None. Expected shape \(8,\)"),
        (
            Whole(change=lambda params: Initialization({**params, "5.bias": torch.zeros(3)})),
            r"bad parameters `5.bias`=\(3,\). Expected shape \(4,\)",
        ),
        (Whole(change=lambda params: Initialization({**params, "5.bias": 3})), "bad parameters `5.bias`=int"),
        (
            Whole(change=lambda params: Initialization({**params, "5.bias": torch.full((4,), math.nan)})),
            "bad values of `5.bias`: not finite",
        ),
    ],
)
def test_an_error_leaves_the_model_as_it_was(initializer: Whole, message: str) -> None:
    model = convnet()
    before = state(model)
    with pytest.raises(InitsuiteError, match=message):
        initsuite.initialize_(model, initializer)
    assert same(state(model), before)
    assert model.training


# ---- what it refuses ------------------------------------------------------------------------------------------------


def test_arguments_of_the_wrong_kind() -> None:
    with pytest.raises(ConfigError, match=r"bad value `model`='function'. Expected a torch.nn.Module"):
        initsuite.initialize_(mlp, "he")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"bad value `seed`=-1. Expected a whole number from 0"):
        initsuite.initialize_(mlp(), "he", seed=-1)
    with pytest.raises(ConfigError, match=r"bad value `probe`='Tensor'.*Example: Probe\(images"):
        initsuite.initialize_(mlp(), "he", probe=torch.ones(3))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"unexpected options gain beside an instance of Constant.*Give them to its"):
        initsuite.initialize_(mlp(), Constant(1.0), gain=3)
    with pytest.raises(ConfigError, match="not an initializer: the class VarianceScaling, not an instance"):
        initsuite.initialize_(mlp(), VarianceScaling)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"Did you mean `xavier`\?"):
        initsuite.initialize_(mlp(), "xaviar")
    with pytest.raises(ConfigError, match="Expected one of: gain, fan, distribution"):
        initsuite.initialize_(mlp(), "he", slope=3)


def test_parameters_that_cannot_be_written() -> None:
    quantized = mlp()
    quantized.register_parameter("codes", nn.Parameter(torch.zeros(3, dtype=torch.int8), requires_grad=False))
    with torch.inference_mode():
        frozen = mlp()
    sharded = mlp()
    sharded[0].weight = nn.Parameter(torch.empty(0))
    for model, message in [
        (nn.ReLU(), "ReLU has no parameters.*nn.ModuleList"),
        (nn.Sequential(nn.LazyLinear(3)), "`0.weight`: it is lazy.*Send one batch through"),
        (sharded, r"`0.weight`: its shape is \(0,\).*initialize before sharding"),
        (nn.Linear(0, 3), r"`weight`: its shape is \(3, 0\).*A layer without inputs or outputs has nothing to draw"),
        (quantized, "`codes`: its dtype is torch.int8.*before the model is quantized"),
        (frozen, "`0.weight`: it was made under torch.inference_mode.*Build the model outside"),
    ]:
        with pytest.raises(ConfigError, match=message):
            initsuite.initialize_(model, "he")
    with pytest.raises(InitsuiteError, match=r"`weight` \(3, 3\) of a Linear \(its numbers are complex\)"):
        initsuite.initialize_(nn.Linear(3, 3, dtype=torch.complex64), "he")


def test_a_compiled_program_is_refused() -> None:
    inputs = torch.ones(2, 64)
    for model, message in [
        (torch.jit.script(mlp()), "a module of torch.jit: RecursiveScriptModule. Expected layers in Python"),
        (torch.jit.trace(mlp(), inputs), "a module of torch.jit: TopLevelTracedModule"),
        (nn.Sequential(torch.jit.script(mlp()), nn.Linear(10, 2)), "a module of torch.jit at `0`: "),
        (torch.export.export(mlp(), (inputs,)).module(), "Initialize the model before torch.export compiles it"),
    ]:
        with pytest.raises(ConfigError, match=message):
            initsuite.initialize_(model, "he")


@pytest.fixture
def process_group() -> Iterator[None]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.skipif(not distributed.is_available(), reason="needs torch.distributed")
def test_a_shard_is_refused(process_group: None) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import distribute_tensor

    model = mlp()
    model[0].weight = nn.Parameter(distribute_tensor(torch.ones(256, 64), init_device_mesh("cpu", (1,))))
    with pytest.raises(ConfigError, match=r"`0.weight`: it is a DTensor.*Initialize before the model is sharded"):
        initsuite.initialize_(model, "he")


# ---- initializers that are made for a special model -----------------------------------------------------------------


@dataclass(frozen=True)
class Unaware:
    """Made for a special model, but does not look at the one it gets."""

    def __call__(self, model: nn.Module, specs: Any, *, seed: int, probe: Probe | None = None) -> Initialization:
        return Initialization({spec.name: torch.ones(spec.shape) for spec in specs})


@dataclass(frozen=True)
class Aware(Unaware):
    """The same, but it looks, and says so."""

    checks_model: ClassVar[bool] = True

    def __call__(self, model: nn.Module, specs: Any, *, seed: int, probe: Probe | None = None) -> Initialization:
        if not any(isinstance(module, nn.Bilinear | nn.Tanh) for module in model.modules()):
            raise ConfigError("Aware: no tanh in the model.")
        return super().__call__(model, specs, seed=seed)


PLAIN = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 4))


@pytest.fixture
def special(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """`special(initializer)` makes it what the name `special` stands for."""

    def register(initializer: object) -> None:
        tree = {"name": "special", "requires": {"model.norm": "none", "model.alpha": 2}}
        monkeypatch.setattr(catalogue, "choice", lambda name: copy.deepcopy(tree))
        monkeypatch.setattr(catalogue, "build", lambda name, options, where: initializer)

    return register


def test_one_that_does_not_look_is_refused(special: Callable[[object], None]) -> None:
    special(Unaware())
    with pytest.raises(ConfigError, match=r"`special` is made for a model with the options model.norm=none model.alph"):
        initsuite.initialize_(mlp(), "special")


def test_one_that_looks_decides_for_itself(special: Callable[[object], None]) -> None:
    special(Aware())
    with pytest.raises(ConfigError, match="no tanh in the model"):
        initsuite.initialize_(mlp(), "special")
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    initsuite.initialize_(model, "special")
    assert (model[0].weight == 1).all()  # type: ignore[union-attr]


@pytest.mark.parametrize("name", [name for name in catalogue.names() if catalogue.choice(name).get("requires")])
def test_those_of_the_suite_look_and_move_no_random_state(name: str) -> None:
    assert catalogue.build(name, {}).checks_model
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with pytest.raises(ConfigError, match="cannot initialize this model"):
        initsuite.initialize_(PLAIN, name)
    assert torch.equal(torch.get_rng_state(), before)
