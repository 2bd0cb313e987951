"""MetaInit and GradInit against finite differences and brute force, and what all laws that run the model promise."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from initsuite import rng
from initsuite.errors import ConfigError
from initsuite.init import AutoInit, DataDependent, GradInit, Lsuv, MetaInit, PerTensor, VarianceScaling, gradinit
from initsuite.init.base.probing import ProbedModel
from initsuite.init.metainit import EPSILON, gradient_quotient
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Initializer, Params, Probe

Build = Callable[[], nn.Module]
QUICK_META, QUICK_GRAD = MetaInit(steps=3, batch_size=32, keep="last"), GradInit(steps=3)
LAWS: list[Initializer] = [Lsuv(), DataDependent(), AutoInit(), QUICK_META, QUICK_GRAD]
RUNNING = [law for law in LAWS if not isinstance(law, AutoInit)]
"""Those that run the model on the probe."""


def probe(*shape: int, count: int = 128) -> Probe:
    """Labels that can be learnt from the inputs: the largest of the first ten."""
    inputs = torch.rand(count, *(shape or (20,)), generator=torch.Generator().manual_seed(0))
    return Probe(inputs, inputs.flatten(1)[:, :10].argmax(1), functional.cross_entropy)


def mlp(phi: nn.Module | None = None) -> Build:
    phi = phi or nn.ReLU()
    return lambda: nn.Sequential(nn.Linear(20, 48), phi, nn.Linear(48, 24), phi, nn.Linear(24, 10))


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Dropout(0.5), nn.Linear(48, 10))


def drawn(law: Initializer, build: Build, data: Probe | None, seed: int = 0) -> Params:
    model = skeleton(build)
    return law(model, describe(model), seed=seed, probe=data).params


def he(build: Build, gain: float | str = "auto", seed: int = 0) -> Params:
    return drawn(PerTensor(weight=VarianceScaling(gain=gain)), build, None, seed)


def loss_of(build: Build, params: Params, data: Probe) -> Tensor:
    model = build()
    return data.loss(functional_call(model, params, (data.inputs,)), data.targets)


def gradients_of(build: Build, params: Params, data: Probe) -> Params:
    leaves = {name: value.detach().clone().requires_grad_() for name, value in params.items()}
    loss = loss_of(build, leaves, data)
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def brute_force_quotient(build: Build, params: Params, data: Probe, epsilon: float) -> float:
    """GQ with H g by central differences of first derivatives along g: no second derivative is taken."""
    gradient = gradients_of(build, params, data)
    size = 1e-6
    ahead, behind = (
        gradients_of(build, {name: value + sign * size * gradient[name] for name, value in params.items()}, data)
        for sign in (1, -1)
    )
    total = 0.0
    for name, g in gradient.items():
        product = (ahead[name] - behind[name]) / (2 * size)
        safe = g + epsilon * torch.where(g >= 0, 1.0, -1.0)
        total += float(((g - product) / safe - 1).abs().sum())
    return total / sum(value.numel() for value in params.values())


def gaussian(seed: int) -> Probe:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(64, 20, generator=generator)
    return Probe(inputs, torch.randint(0, 10, (64,), generator=generator), functional.cross_entropy)


class TestMetaInit:
    @pytest.mark.parametrize("phi", [nn.Tanh(), nn.GELU()])
    def test_the_quotient_agrees_with_finite_differences(self, phi: nn.Module) -> None:
        build = mlp(phi)
        params = {name: value.double().requires_grad_() for name, value in he(build).items()}
        batch = Probe(gaussian(3).inputs.double(), gaussian(3).targets, functional.cross_entropy)
        measured = float(gradient_quotient(ProbedModel("test", skeleton(build)), params, batch).detach())
        assert measured == pytest.approx(brute_force_quotient(build, params, batch, EPSILON), rel=1e-4)

    @pytest.mark.slow
    @pytest.mark.parametrize(("phi", "gain"), [(nn.Tanh(), 3 * 5 / 3), (nn.ReLU(), 3 * 2**0.5), (nn.ReLU(), "auto")])
    def test_it_lowers_the_quotient(self, phi: nn.Module, gain: float | str) -> None:
        build = mlp(phi)
        before, after = (
            statistics.median(
                brute_force_quotient(build, _double(params), _double_batch(gaussian(seed)), EPSILON)
                for seed in range(5)
            )
            for params in (he(build, gain), drawn(MetaInit(gain=gain), build, probe()))
        )
        assert after < 0.8 * before

    def test_norms_that_are_worse_than_the_start_are_not_kept(self) -> None:
        build, start = mlp(nn.Tanh()), he(mlp(nn.Tanh()))
        with pytest.warns(UserWarning, match=r"MetaInit: the gradient quotient was not lowered.*The start is kept"):
            tuned = drawn(MetaInit(steps=1, lr=1e3, batch_size=64), build, probe(count=64))
        assert all(torch.equal(tuned[name], start[name]) for name in start)

    def test_only_norms_change(self) -> None:
        start, tuned = he(mlp()), drawn(QUICK_META, mlp(), probe())
        for name in start:
            if name.endswith("bias"):
                assert not tuned[name].any()
            else:
                torch.testing.assert_close(tuned[name] / tuned[name].norm(), start[name] / start[name].norm())

    def test_a_first_step_moves_each_norm_by_lr_downhill(self) -> None:
        build = mlp(nn.Tanh())
        start, tuned = he(build), drawn(MetaInit(steps=1, lr=0.01, batch_size=64, keep="last"), build, probe(count=64))
        generator = rng.generator(0, "init", "metainit.batches")
        inputs = torch.empty(64, 20).normal_(generator=generator)
        targets = probe(count=64).targets[torch.randperm(64, generator=generator)]
        batch = _double_batch(Probe(inputs, targets, functional.cross_entropy))
        for name in (name for name in start if name.endswith("weight")):
            larger, smaller = (
                brute_force_quotient(build, _double({**start, name: start[name] * factor}), batch, EPSILON)
                for factor in (1 + 1e-4, 1 - 1e-4)
            )
            moved = float(tuned[name].norm() - start[name].norm())
            assert moved == pytest.approx(-math.copysign(0.01, larger - smaller), rel=1e-2)

    def test_momentum_adds_up(self) -> None:
        laws = [MetaInit(steps=steps, keep="last", lr=0.1, momentum=0.9) for steps in (1, 2, 3)]
        start = he(mlp())["2.weight"].norm()
        norms = [float(start), *(float(drawn(law, mlp(), probe())["2.weight"].norm()) for law in laws)]
        moves = [0.0, *(after - before for before, after in itertools.pairwise(norms))]
        for before, after in itertools.pairwise(moves):
            assert abs(after - 0.9 * before) == pytest.approx(0.1, rel=1e-3)

    def test_a_norm_stays_above_0(self) -> None:
        start, tuned = he(mlp()), drawn(MetaInit(steps=2, lr=1e3, keep="last"), mlp(), probe())
        assert all(float((start[name] * tuned[name]).sum()) > 0 for name in start if name.endswith("weight"))

    def test_the_inputs_of_the_probe_are_not_looked_at(self) -> None:
        data = probe()
        other = Probe(data.inputs * 100, data.targets, data.loss)
        first, second = (drawn(QUICK_META, mlp(), batch) for batch in (data, other))
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_tokens_are_refused(self) -> None:
        data = Probe(torch.zeros(8, 5, dtype=torch.long), torch.zeros(8, dtype=torch.long), functional.cross_entropy)
        with pytest.raises(ConfigError, match=r"Expected real numbers.*models of tokens"):
            drawn(QUICK_META, tokens, data)

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"gain": "automatic"}, "`gain`='automatic'"),
            ({"steps": 0}, "whole number from 1"),
            ({"lr": 0.0}, "above 0"),
            ({"momentum": -0.1}, "finite number from 0"),
            ({"momentum": 1.0}, "from 0, below 1"),
            ({"batch_size": 0}, "whole number from 1"),
            ({"keep": "lowest"}, "Expected one of: best, last"),
        ],
    )
    def test_bad_options(self, options: dict[str, Any], match: str) -> None:
        with pytest.raises(ConfigError, match=match):
            MetaInit(**options)


def _double(params: Params) -> Params:
    return {name: value.double() for name, value in params.items()}


def _double_batch(batch: Probe) -> Probe:
    return Probe(batch.inputs.double(), batch.targets, batch.loss)


def tokens() -> nn.Module:
    return nn.Sequential(nn.Embedding(7, 6), nn.Flatten(), nn.Linear(30, 16), nn.Tanh(), nn.Linear(16, 10))


def loss_after_a_step(build: Build, params: Params, data: Probe, lr: float, is_sign: bool = False) -> float:
    gradients = gradients_of(build, params, data)
    moved = {
        name: value - lr * (gradients[name].sign() if is_sign else gradients[name]) for name, value in params.items()
    }
    return float(loss_of(build, moved, data))


class TestGradInit:
    @pytest.mark.parametrize("gain", ["auto", 3.0])
    def test_the_loss_after_a_step_is_lower(self, gain: float | str) -> None:
        data = probe(count=256)
        start, tuned = he(mlp(), gain), drawn(GradInit(gain=gain, gamma=1e3, factor_lr=0.05), mlp(), data)
        before, after = (loss_after_a_step(mlp(), params, data, 0.1) for params in (start, tuned))
        assert after < before - 0.01

    def test_the_loss_after_a_step_of_adam_is_lower(self) -> None:
        data = probe(count=256)
        law = GradInit(optimizer="adam", lr=1e-3, gamma=1e4, gain=2.0)
        before, after = (
            loss_after_a_step(mlp(), params, data, 1e-3, is_sign=True)
            for params in (he(mlp(), 2.0), drawn(law, mlp(), data))
        )
        assert after < before - 0.01

    @pytest.mark.parametrize(("optimizer", "order"), [("sgd", 2.0), ("adam", 1.0)])
    def test_the_gradient_is_bounded(self, optimizer: str, order: float) -> None:
        data = probe(count=256)
        norms = []
        for params in (he(mlp(), 3.0), drawn(GradInit(gain=3.0, optimizer=optimizer, gamma=1.0), mlp(), data)):
            flat = torch.cat([gradient.flatten() for gradient in gradients_of(mlp(), params, data).values()])
            norms.append(float(torch.linalg.vector_norm(flat, order)))
        assert norms[0] > 2
        assert norms[1] <= 1 + 1e-5

    def test_a_bound_that_cannot_be_reached_is_told(self) -> None:
        with pytest.warns(
            UserWarning, match=r"GradInit: the gradient norm on the probe stays at \d.*, above `gamma`=0.001.*biases"
        ):
            tuned = drawn(GradInit(gamma=1e-3, optimizer="adam", steps=20), mlp(), probe())
        size = sum(float(gradient.abs().sum()) for gradient in gradients_of(mlp(), tuned, probe()).values())
        assert size < sum(float(gradient.abs().sum()) for gradient in gradients_of(mlp(), he(mlp()), probe()).values())

    def test_a_result_that_is_worse_than_the_start_is_not_used(self) -> None:
        """A sign step of 0.1 from He weights is far too long; what the steps find is worse on the whole probe."""
        with pytest.warns(UserWarning, match=r"GradInit: the start is better than what was found, and is kept"):
            tuned = drawn(GradInit(optimizer="adam", gamma=100.0), mlp(), probe(count=256))
        assert all(torch.equal(tuned[name], value) for name, value in he(mlp()).items())

    @pytest.mark.parametrize("gamma", [1e3, 1e-3])
    @pytest.mark.parametrize("optimizer", ["sgd", "adam"])
    def test_a_first_step_goes_downhill(self, optimizer: str, gamma: float, monkeypatch: pytest.MonkeyPatch) -> None:
        """The signs of the slopes, by central differences in float64, of either objective."""
        monkeypatch.setattr(gradinit, "PATIENCE", 0)  # none after the first
        build, data = mlp(nn.Tanh()), probe(count=3)  # too few to be halved: both batches are the probe
        law = GradInit(steps=1, optimizer=optimizer, gamma=gamma)
        start, tuned = he(build), drawn(law, build, data)
        exact = _double_batch(data)

        def objective(params: Params) -> float:
            if gamma > 1:
                return loss_after_a_step(build, params, exact, 0.1, is_sign=optimizer == "adam")
            flat = torch.cat([gradient.flatten() for gradient in gradients_of(build, params, exact).values()])
            return float(torch.linalg.vector_norm(flat, 2 if optimizer == "sgd" else 1))

        for name in (name for name in start if name.endswith("weight")):
            larger, smaller = (
                objective(_double({**start, name: start[name] * factor})) for factor in (1 + 1e-5, 1 - 1e-5)
            )
            factor = float((tuned[name] * start[name]).sum() / start[name].square().sum())
            assert factor - 1 == pytest.approx(-math.copysign(0.01, larger - smaller), rel=1e-3), name

    def test_tensors_get_one_factor_each_and_no_less_than_the_least(self) -> None:
        start = he(normed)
        tuned = drawn(GradInit(factor_lr=0.5, min_factor=0.3, gamma=1e-3, steps=20), normed, probe())
        factors = {}
        for name in start:
            if not start[name].any():
                assert not tuned[name].any()
                continue
            ratios = tuned[name] / start[name]
            factors[name] = float(ratios.flatten()[0])
            torch.testing.assert_close(ratios, torch.full_like(ratios, factors[name]))
        assert set(factors) == {"0.weight", "1.weight", "4.weight"}
        assert min(factors.values()) == pytest.approx(0.3)

    def test_models_of_tokens_are_tuned(self) -> None:
        inputs = torch.randint(0, 7, (64, 5), generator=torch.Generator().manual_seed(0))
        data = Probe(inputs, inputs[:, 0], functional.cross_entropy)
        start, tuned = he(tokens), drawn(GradInit(gamma=1e3), tokens, data)
        assert loss_after_a_step(tokens, tuned, data, 0.1) < loss_after_a_step(tokens, start, data, 0.1)

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"gain": 0.0}, "a finite number above 0"),
            ({"optimizer": "adamw"}, "Did you mean `adam`"),
            ({"lr": 0.0}, "`lr`=0.0"),
            ({"gamma": -1.0}, "`gamma`=-1.0"),
            ({"factor_lr": 0.0}, "`factor_lr`=0.0"),
            ({"min_factor": -1.0}, "finite number from 0"),
            ({"steps": 0}, "whole number from 1"),
        ],
    )
    def test_bad_options(self, options: dict[str, Any], match: str) -> None:
        with pytest.raises(ConfigError, match=match):
            GradInit(**options)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
class TestEachLaw:
    def test_the_model_comes_out_as_it_went_in(self, law: Initializer) -> None:
        model = skeleton(normed)
        model[1].eval()
        before = {name: value.clone() for name, value in model.named_buffers()}
        law(model, describe(model), seed=0, probe=probe())
        assert [module.training for module in model.modules()] == [True, True, False, True, True, True]
        assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
        assert all(parameter.is_meta for parameter in model.parameters())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())

    def test_seed_and_probe_alone_decide(self, law: Initializer) -> None:
        model = skeleton(normed)
        specs = describe(model)
        first = law(model, specs, seed=0, probe=probe()).params
        torch.manual_seed(9)
        state = torch.get_rng_state()
        with torch.no_grad():
            second = law(model, specs[::-1], seed=0, probe=probe()).params
        assert torch.equal(state, torch.get_rng_state())
        assert list(second) == list(first)[::-1]
        assert all(torch.equal(first[name], second[name]) for name in first)
        other = law(model, specs, seed=1, probe=probe()).params
        assert not torch.equal(first["0.weight"], other["0.weight"])

    def test_results_are_plain_tensors(self, law: Initializer) -> None:
        for tensor in drawn(law, normed, probe()).values():
            assert (tensor.dtype, tensor.device.type, tensor.requires_grad) == (torch.float32, "cpu", False)
            assert tensor.grad_fn is None
            assert tensor.isfinite().all()

    def test_it_is_the_same_for_a_probe_in_float64(self, law: Initializer) -> None:
        data = probe()
        first, second = (drawn(law, mlp(), batch) for batch in (data, _double_batch(data)))
        for name in first:
            torch.testing.assert_close(first[name], second[name])


class Noisy(nn.Module):
    """Draws from every global stream, as code that knows of no generator does."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(20, 24), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        noise = np.random.randn() + random.random() + torch.rand(x.shape)  # noqa: NPY002
        return self.head(self.hidden(x + 0.1 * noise).tanh())


@pytest.mark.parametrize("law", RUNNING, ids=lambda law: type(law).__name__)
def test_random_numbers_in_forward_are_the_same_in_every_pass_and_move_no_stream(law: Initializer) -> None:
    def streams() -> tuple[object, ...]:
        state = np.random.get_state()  # noqa: NPY002
        return random.getstate(), state[1].tolist(), state[2], torch.get_rng_state().tolist()

    first = drawn(law, Noisy, probe())
    model = skeleton(Noisy)
    specs = describe(model)
    before = streams()
    second = law(model, specs, seed=0, probe=probe()).params
    assert streams() == before
    assert all(torch.equal(first[name], second[name]) for name in first)


class Fails(nn.Module):
    """Runs its layer, then breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError(f"no way for {tuple(self.layer(x).shape)}")


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(20, 2, batch_first=True), nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x)[0].mean(1))


class Memory(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(20, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class _Refuse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise RuntimeError("no second derivative here")


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Refuse.apply(gradient)  # type: ignore[no-any-return]


class Once(nn.Module):
    """Its output can be differentiated once."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        return _Double.apply(self.layer(x))  # type: ignore[no-any-return]


@pytest.mark.parametrize("law", RUNNING, ids=lambda law: type(law).__name__)
class TestRefusals:
    def test_without_a_probe(self, law: Initializer) -> None:
        with pytest.raises(ConfigError, match=r"no `probe`.*probe=Probe\(inputs, targets, loss\)"):
            drawn(law, mlp(), None)

    def test_a_model_that_cannot_be_run_is_left_as_it_was(self, law: Initializer) -> None:
        model = skeleton(Fails)
        with pytest.raises(ConfigError, match=r"cannot run the model.*ValueError: no way.*inputs that its forward"):
            law(model, describe(model), seed=0, probe=probe())
        assert all(module.training and not module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("law", [Lsuv(), DataDependent()], ids=lambda law: type(law).__name__)
class TestLayersThatCannotBeMeasured:
    def test_modules_that_return_no_tensor(self, law: Initializer) -> None:
        with pytest.raises(ConfigError, match=r"its LSTM returns none.*linear layers"):
            drawn(law, Memory, probe(5, 20))

    def test_layers_that_forward_does_not_call(self, law: Initializer) -> None:
        def build() -> nn.Module:
            model = mlp()()
            model.spare = nn.Linear(3, 3)
            model.forward = lambda x: nn.Sequential(*list(model)[:5])(x)  # type: ignore[method-assign]
            return model

        with pytest.raises(ConfigError, match=r"`spare.weight` to measure: its Linear returns none, and nothing is"):
            drawn(law, build, probe())

    def test_inputs_that_are_not_finite(self, law: Initializer) -> None:
        data = probe()
        with pytest.raises(ConfigError, match=r"not finite.*NaN and inf"):
            drawn(law, mlp(), Probe(data.inputs * math.nan, data.targets, data.loss))


@pytest.mark.parametrize("law", [QUICK_META, QUICK_GRAD], ids=lambda law: type(law).__name__)
class TestLossesThatCannotBeUsed:
    @pytest.mark.parametrize(
        ("loss", "match"),
        [
            (lambda outputs, targets: outputs.sum(1), "Expected a finite scalar"),
            (lambda outputs, targets: outputs.sum() * math.inf, "Expected a finite scalar"),
            (lambda outputs, targets: outputs.nope, "AttributeError"),
        ],
    )
    def test_bad_losses(self, law: Initializer, loss: Callable[[Tensor, Tensor], Tensor], match: str) -> None:
        data = probe()
        with pytest.raises(ConfigError, match=match):
            drawn(law, mlp(), Probe(data.inputs, data.targets, loss))

    def test_models_without_second_derivatives(self, law: Initializer) -> None:
        with pytest.raises(ConfigError, match=r"cannot differentiate.*Use another initializer"):
            drawn(law, Once, probe())

    def test_attention_and_recurrence_are_tuned(self, law: Initializer) -> None:
        for build in (Attention, Memory):
            params = drawn(law, build, probe(5, 20))
            assert all(tensor.isfinite().all() for tensor in params.values())


@pytest.mark.parametrize("build", [Attention, Memory])
def test_autoinit_carries_the_signal_through_attention_and_lstm(build: Callable[[], nn.Module]) -> None:
    """What is pooled over places, or gated, is small: the head makes up for it, measured on independent inputs."""
    params = drawn(AutoInit(input_mean=3.0), build, None)
    # sees (3, 1), so that the mean square is 10
    name = "attention.in_proj_weight" if build is Attention else "lstm.weight_ih_l0"
    assert float(params[name].square().mean()) * 20 == pytest.approx(0.1, rel=0.15)
    inputs = torch.randn(256, 8, 20, generator=torch.Generator().manual_seed(0))
    model = build()
    starts = [AutoInit()(model, describe(model), seed=seed).params for seed in range(10)]
    squares = [float(functional_call(model, start, (inputs,)).square().mean()) for start in starts]
    assert sum(squares) / len(squares) == pytest.approx(1, rel=0.4)
