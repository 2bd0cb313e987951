"""`initialize_` on small models: what it does to them, and what it leaves alone."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import initsuite
from initsuite.errors import ConfigError, InitsuiteError
from initsuite.init import Constant
from initsuite.spec import Initialization, ParamSpec, Probe
from support.users import Whole, convnet, mlp, same, state

KINDS = [torch.bfloat16, torch.float16, torch.float32, torch.float64]


def test_the_seed_decides_alone_and_the_global_stream_stays() -> None:
    first, again, other = mlp(), mlp(), mlp()
    before = torch.get_rng_state()
    for model, seed in ((first, 0), (again, 0), (other, 1)):
        initsuite.initialize_(model, "he", seed)
    assert torch.equal(before, torch.get_rng_state())
    assert same(state(first), state(again))
    assert not torch.equal(first[0].weight, other[0].weight)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_the_same_draw_in_every_dtype(dtype: torch.dtype) -> None:
    reference, model = mlp(), mlp().to(dtype)
    initsuite.initialize_(reference, "he")
    table = initsuite.initialize_(model, "he")
    for name, parameter in model.named_parameters():
        assert parameter.dtype is dtype
        assert torch.equal(parameter, reference.get_parameter(name).to(dtype))
    assert table["realised_std"].iloc[0] == pytest.approx(
        float(model.get_parameter("0.weight").detach().float().std(correction=0))
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_same_draw_on_a_gpu() -> None:
    reference, model = convnet(), convnet().cuda()
    initsuite.initialize_(reference, "he")
    initsuite.initialize_(model, "he")
    assert all(value.is_cuda for value in model.state_dict().values())
    assert same({name: value.cpu() for name, value in state(model).items()}, state(reference))


def test_the_rest_of_the_model_stays_as_it_is() -> None:
    model = convnet().eval()
    model[0].weight.requires_grad_(False)  # type: ignore[union-attr]
    model(torch.randn(2, 3, 8, 8))
    objects, buffers = dict(model.named_parameters()), {name: value.clone() for name, value in model.named_buffers()}
    initsuite.initialize_(model, "he", frozen="draw")
    assert all(parameter is objects[name] for name, parameter in model.named_parameters())
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, *[True] * 5]
    assert same(dict(model.named_buffers()), buffers)
    assert not model.training
    assert not any(module.training for module in model.modules())


class WithPositions(nn.Module):
    """A table of sines that is not learned, as in Whisper and ViTMAE."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(8, 16), nn.Linear(16, 2)
        table = torch.outer(torch.arange(9.0), torch.arange(16) / 16).sin()
        self.pos_embed = nn.Parameter(table[None], requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.embed(x) + self.pos_embed).mean(1))


@pytest.mark.parametrize("init", ["he", Whole()], ids=["by laws", "as a whole"])
@pytest.mark.filterwarnings("ignore:initialize_. Whole is half of a law")
def test_what_is_frozen_is_kept_or_drawn(init: Any) -> None:
    model, pretrained = WithPositions(), nn.Sequential(nn.Embedding.from_pretrained(torch.eye(16)), nn.Linear(16, 2))
    before = model.pos_embed.clone()
    for frozen, kept in (({}, True), ({"frozen": "keep"}, True), ({"frozen": "draw"}, False)):
        row = initsuite.initialize_(model, init, **frozen).set_index("tensor").loc["pos_embed"]
        assert torch.equal(model.pos_embed, before) is kept
        assert (row["how"] == "kept") is kept
        assert ("requires_grad=False" in row["why"]) is kept
        assert (row["role"] == "embedding") is not kept
    initsuite.initialize_(pretrained, init)
    assert torch.equal(pretrained.get_parameter("0.weight"), torch.eye(16))
    with pytest.raises(ConfigError, match=r"unknown `frozen`='kept'. Expected one of: keep, draw. Did you mean `keep`"):
        initsuite.initialize_(model, init, frozen="kept")
    with pytest.raises(ConfigError, match=r"nothing to initialize.*requires_grad=False.*Give frozen=\"draw\""):
        initsuite.initialize_(model.requires_grad_(False), init)


def test_a_complex_parameter_is_kept_and_the_rest_drawn() -> None:
    """As the filters of a Fourier neural operator, whose other layers are real."""
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    model.filters = nn.Parameter(torch.full((2, 2), 1 + 2j))
    with pytest.warns(match=r"cannot place parameter `filters` \(2, 2\) of a Sequential \(its numbers are complex\)"):
        table = initsuite.initialize_(model, "he").set_index("tensor")
    assert (model.filters == 1 + 2j).all()  # type: ignore[union-attr]
    assert (table.loc["filters", "how"], table.loc["filters", "why"]) == ("kept", "its numbers are complex")
    assert table.loc["0.weight", "how"] == "drawn"
    with pytest.raises(InitsuiteError, match=r"`filters` .* \(its numbers are complex\)"):
        initsuite.initialize_(model, "he", strict=True)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("init", ["he", Whole()], ids=["by laws", "as a whole"])
@pytest.mark.filterwarnings("ignore:initialize_. Whole is half of a law")
def test_parts_get_the_values_of_the_whole(init: Any, device: str) -> None:
    whole = convnet()
    initsuite.initialize_(whole, init)
    with torch.device(device):
        model = convnet()
    before = {name: value if value.is_meta else value.clone() for name, value in model.named_parameters()}
    table = initsuite.initialize_(model, init, only=["1", "5.bias"])
    assert list(table["tensor"]) == ["1.weight", "1.bias", "5.bias"]
    for name, parameter in model.named_parameters():
        if name in list(table["tensor"]):
            assert torch.equal(parameter, whole.get_parameter(name))
        else:
            assert parameter.is_meta if device == "meta" else torch.equal(parameter, before[name])
    for part in "05":
        initsuite.initialize_(model, init, only=part)
    assert same(state(model), state(whole))
    with pytest.raises(ConfigError, match=r"bad value `only`='6'. Expected the name of a parameter, or of a module"):
        initsuite.initialize_(model, init, only=["1", "6"])


def test_an_error_in_the_last_tensor_leaves_the_model_as_it_was() -> None:
    @dataclass(frozen=True)
    class Stopping:
        def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
            if spec.is_head:
                raise RuntimeError("not this one")
            return torch.ones(spec.shape)

    model = convnet()
    before = state(model)
    with pytest.raises(InitsuiteError, match="not this one"):
        initsuite.initialize_(model, Stopping())
    assert same(state(model), before)


def test_tied_weights_are_drawn_once_and_stay_tied() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    model[2].weight = model[0].weight
    table = initsuite.initialize_(model, "he")
    assert list(table["tensor"]) == ["0.weight", "0.bias", "2.bias"]
    assert model[2].weight is model[0].weight


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_padding_row_of_an_embedding_stays_zero(device: str) -> None:
    with torch.device(device):
        model = nn.Sequential(nn.Embedding(9, 4, padding_idx=2), nn.Linear(4, 3))
    initsuite.initialize_(model, "normal", std=1.0)
    rows = model.get_parameter("0.weight").abs().sum(dim=1)
    assert (rows > 0).tolist() == [index != 2 for index in range(9)]


def test_an_instance_of_either_kind_is_taken() -> None:
    model = mlp()
    table = initsuite.initialize_(model, Constant(3.0))
    assert (model[0].weight == 3).all()  # type: ignore[union-attr]
    assert table.attrs["lr_factors"] == {}
    with pytest.warns(UserWarning, match="half of a law: multiply the learning rate of each tensor"):
        table = initsuite.initialize_(model, Whole())
    assert (model[2].bias == 2).all()  # type: ignore[union-attr]
    assert table.attrs["lr_factors"] == {"0.weight": 0.5}
    assert table["gain"].isna().all()


def test_what_has_no_place_is_kept_bit_for_bit() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.temperature = nn.Parameter(torch.tensor([7.0, 9.0]))
            self.linear = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x).sigmoid() ** self.temperature

    model = Scaled()
    with pytest.warns(UserWarning, match="temperature"):
        table = initsuite.initialize_(model, "he").set_index("tensor")
    assert model.temperature.tolist() == [7.0, 9.0]
    row = table.loc["temperature"]
    assert (row["how"], row["role"], row["realised_mean"], row["realised_std"]) == ("kept", "", 8.0, 1.0)
    assert all(np.isnan(float(row[name])) for name in ("gain", "expected_std"))
    with pytest.raises(InitsuiteError, match="temperature"):
        initsuite.initialize_(model, "he", strict=True)
    with torch.device("meta"):
        empty = Scaled()
    with pytest.warns(match="no value for tensors on the meta device: `temperature`. No law is for them"):
        table = initsuite.initialize_(empty, "he").set_index("tensor")
    assert empty.temperature.is_meta
    assert not empty.linear.weight.is_meta
    assert table.loc["temperature", "how"] == "missing"
    assert math.isnan(table.loc["temperature", "realised_std"])


def test_the_nonlinearity_can_be_given() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            if x.sum() > 0:  # no tracer passes here
                x = -x
            return self.second(self.first(x).tanh())

    table = initsuite.initialize_(Functional(), "xavier", gain="torch", nonlinearity="tanh").set_index("tensor")
    assert table.loc["first.weight", "nonlinearity"] == "tanh"
    assert table.loc["first.weight", "gain"] == pytest.approx(5 / 3)


def test_a_meta_model_becomes_the_one_that_was_built() -> None:
    built = convnet().to(torch.bfloat16)
    with torch.device("meta"):
        model = convnet().to(torch.bfloat16)
    model[0].weight.requires_grad_(False)  # type: ignore[union-attr]
    model[0].weight.no_weight_decay = True  # type: ignore[union-attr]
    initsuite.initialize_(built, "he", frozen="draw")
    initsuite.initialize_(model, "he", frozen="draw")
    assert same(state(model), state(built))
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, *[True] * 5]
    assert model[0].weight.no_weight_decay  # type: ignore[union-attr]
    assert model(torch.ones(2, 3, 8, 8, dtype=torch.bfloat16)).isfinite().all()


def test_tied_meta_weights_stay_tied() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    model[2].weight = model[0].weight
    initsuite.initialize_(model, "he")
    assert model[2].weight is model[0].weight
    assert not model[2].weight.is_meta  # type: ignore[union-attr]


def test_a_lost_buffer_is_named() -> None:
    with torch.device("meta"):
        model = mlp()
        model.register_buffer("mask", torch.ones(3))
    with pytest.warns(UserWarning, match="no value for tensors on the meta device: `mask`. No law") as caught:
        initsuite.initialize_(model, "he")
    assert caught[0].filename == __file__
    assert model.mask.is_meta
    assert not model[0].weight.is_meta  # type: ignore[union-attr]


def test_a_data_dependent_initializer_gets_the_probe_in_float32() -> None:
    @dataclass(frozen=True)
    class Reading:
        def __call__(self, model: nn.Module, specs: Any, *, seed: int, probe: Probe | None = None) -> Initialization:
            assert probe is not None
            assert (probe.inputs.dtype, probe.targets.dtype) == (torch.float32, torch.int64)
            return Initialization({spec.name: torch.full(spec.shape, probe.inputs.mean().item()) for spec in specs})

    model = mlp().to(torch.float64)
    probe = Probe(torch.full((4, 64), 5.0, dtype=torch.float64), torch.zeros(4, dtype=torch.int64), nn.MSELoss())
    initsuite.initialize_(model, Reading(), probe=probe)
    assert (model[0].weight == 5).all()  # type: ignore[union-attr]


def test_what_a_law_warns_of_is_said_once() -> None:
    """Laws are asked twice: to draw, and for the table."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, inputs: Tensor) -> Tensor:
            return inputs + self.outer(torch.relu(self.inner(inputs)))

    with warnings.catch_warnings(record=True, action="always") as said:
        initsuite.initialize_(nn.Sequential(nn.Linear(8, 8), Block(), Block(), nn.Linear(8, 3)), "fixup")
    assert len([each for each in said if "no scalar multiplier" in str(each.message)]) == 1
