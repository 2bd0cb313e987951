"""LSUV, data-dependent and AutoInit weights, against what independently hooked models do with them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import integrate, stats
from torch import Tensor, nn
from torch.nn import functional

from initsuite import rng
from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.init import AutoInit, DataDependent, Lsuv, Orthogonal, PerTensor
from initsuite.init.theory.signal import UNIT, Signal
from initsuite.models import Lstm, Mlp, Rnn
from initsuite.models.describe.describe import describe
from initsuite.models.describe.examples import Example
from initsuite.models.skeleton import skeleton
from initsuite.spec import Initializer, Params, Probe, Role

ROUNDING = 1e-3
"""Float32 sums over 256 examples; the corrections themselves are exact for layers that are called once."""
FRESH = 0.15
"""Of a variance on 256 other examples of the same distribution, pooled over units: sampling of both batches."""
Build = Callable[[], nn.Module]


def images(seed: int = 0, *shape: int) -> Tensor:
    """Uniform in [0, 1), as pixels are: of mean 0.5."""
    return torch.rand(256, *(shape or (64,)), generator=torch.Generator().manual_seed(seed))


def probe(inputs: Tensor | None = None) -> Probe:
    inputs = images() if inputs is None else inputs
    targets = torch.randint(0, 10, (len(inputs),), generator=torch.Generator().manual_seed(1))
    return Probe(inputs, targets, functional.cross_entropy)


def drawn(law: Initializer, build: Build, data: Probe | None, seed: int = 0) -> Params:
    model = skeleton(build)
    example = None if data is None else Example((data.inputs,))
    return law(model, describe(model, example=example), seed=seed, probe=data).params


def filled(build: Build, params: Params) -> nn.Module:
    """A real model with these parameters, in training mode."""
    model = build()
    model.load_state_dict(params, strict=False)
    return model.train()


def outputs_of(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """All outputs of each linear layer and convolution, [channel, everything else]."""
    found: dict[str, list[Tensor]] = defaultdict(list)

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _: Any, output: Tensor) -> None:
            axis = 1 if "Conv" in type(module).__name__ else output.ndim - 1
            found[name].append(output.clone().transpose(0, axis).flatten(1))

        return hook

    for name, module in model.named_modules():
        if "Conv" in type(module).__name__ or isinstance(module, nn.Linear):
            module.register_forward_hook(keep(name))
    with torch.no_grad():
        model(inputs)
    return {name: torch.cat(parts, 1) for name, parts in found.items()}


def mlp(name: str = "relu", norm: bool = False, bias: bool = True) -> Build:
    def build() -> nn.Module:
        layers: list[nn.Module] = []
        for before, after in ((64, 128), (128, 32), (32, 64)):
            layers += [nn.Linear(before, after, bias=bias), *[nn.BatchNorm1d(after)] * norm, nn.ReLU(inplace=True)]
            layers[-1] = layers[-1] if name == "relu" else {"tanh": nn.Tanh(), "gelu": nn.GELU()}[name]
        return nn.Sequential(*layers, nn.Linear(64, 10, bias=bias))

    return build


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3, groups=3), nn.Tanh()),
        *(nn.ConvTranspose2d(24, 8, 2, stride=2, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4 * 4, 10)),
    )


def rnn() -> nn.Module:
    return Rnn((8, 16), 10, activation("tanh"), depth=2, width=48)


MODELS = {"relu": mlp(), "tanh-bn": mlp("tanh", norm=True), "gelu": mlp("gelu", bias=False), "cnn": cnn}
INPUTS = {"cnn": (3, 8, 8)}


@pytest.fixture(params=MODELS)
def case(request: pytest.FixtureRequest) -> tuple[Build, tuple[int, ...]]:
    return MODELS[request.param], INPUTS.get(request.param, (64,))


class TestLsuv:
    def test_every_layer_has_variance_1(self, case: tuple[Build, tuple[int, ...]]) -> None:
        build, shape = case
        params = drawn(Lsuv(tol=1e-6), build, probe(images(0, *shape)))
        model = filled(build, params)
        for output in outputs_of(model, images(0, *shape)).values():
            assert float(output.var(unbiased=False)) == pytest.approx(1, abs=ROUNDING)
        for output in outputs_of(filled(build, params), images(7, *shape)).values():
            assert float(output.var(unbiased=False)) == pytest.approx(1, abs=FRESH)

    def test_a_recurrent_layer_is_measured_over_all_its_calls(self) -> None:
        data = probe(images(0, 8, 16))
        outputs = outputs_of(filled(rnn, drawn(Lsuv(), rnn, data)), data.inputs)
        assert len(outputs) == 5
        assert all(abs(float(output.var(unbiased=False)) - 1) <= 0.1 + ROUNDING for output in outputs.values())

    @pytest.mark.parametrize(("kind", "name"), [(Rnn, "silu"), (Rnn, "gelu"), (Rnn, "relu"), (Lstm, "relu")])
    @pytest.mark.parametrize("seed", range(3))
    def test_a_recurrence_that_amplifies_a_division_arrives_too(self, kind: Any, name: str, seed: int) -> None:
        """Dividing by the std goes round in a cycle there: every call of the layer is divided again."""

        def build() -> nn.Module:
            return kind((8, 8), 10, activation(name), depth=1, width=64)

        data = probe(images(0, 8, 8))
        for output in outputs_of(filled(build, drawn(Lsuv(), build, data, seed)), data.inputs).values():
            assert abs(float(output.var(unbiased=False)) - 1) <= 0.1 + ROUNDING

    def test_where_the_aim_is_out_of_reach_it_warns_and_is_not_worse_than_its_start(self) -> None:
        class Bounded(nn.Module):
            """The outputs of the first call of `inner` are too large whenever those of the second are large enough."""

            def __init__(self) -> None:
                super().__init__()
                self.inner, self.head = nn.Linear(64, 64), nn.Linear(64, 10)

            def forward(self, x: Tensor) -> Tensor:
                return self.head(self.inner(1e-3 * self.inner(x).sign()))

        data = probe()
        with pytest.warns(UserWarning, match=r"Lsuv: the aim is not reached .*`inner.weight` \(variance .*is kept"):
            tuned = outputs_of(filled(Bounded, drawn(Lsuv(tol=1e-12, max_tries=2), Bounded, data)), data.inputs)
        start = outputs_of(filled(Bounded, drawn(PerTensor(weight=Orthogonal()), Bounded, None)), data.inputs)
        errors = [max(abs(float(out.var(unbiased=False).log())) for out in each.values()) for each in (tuned, start)]
        assert errors[0] <= errors[1]

    @pytest.mark.parametrize("is_head_first", [False, True])
    def test_an_embedding_that_is_the_head_too_is_scaled_by_the_heads_output(self, is_head_first: bool) -> None:
        class Language(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                if is_head_first:
                    self.head = nn.Linear(48, 100, bias=False)
                self.token, self.inner = nn.Embedding(100, 48), nn.Linear(48, 48)
                if not is_head_first:
                    self.head = nn.Linear(48, 100, bias=False)
                self.token.weight = self.head.weight

            def forward(self, tokens: Tensor) -> Tensor:
                x = self.token(tokens)
                return self.head(x + self.inner(x).tanh())

        tokens = torch.randint(0, 100, (64, 8), generator=torch.Generator().manual_seed(0))
        params = drawn(Lsuv(), Language, probe(tokens))
        model = Language()
        model.load_state_dict({"head.weight": params.get("token.weight", params.get("head.weight"))}, strict=False)
        model.load_state_dict(params, strict=False)
        outputs = outputs_of(model, tokens)
        assert outputs.keys() == {"inner", "head"}
        assert all(abs(float(output.var(unbiased=False)) - 1) <= 0.1 + ROUNDING for output in outputs.values())

    @pytest.mark.filterwarnings("ignore:Lsuv. the aim is not reached")
    def test_one_try_leaves_a_recurrent_layer_beside_its_aim(self) -> None:
        data = probe(images(0, 8, 16))
        outputs = outputs_of(filled(rnn, drawn(Lsuv(tol=1e-4, max_tries=1), rnn, data)), data.inputs)
        errors = {name: abs(float(output.var(unbiased=False)) - 1) for name, output in outputs.items()}
        assert {name for name, error in errors.items() if error > ROUNDING} == {
            "layers.recurrent1",
            "layers.recurrent2",
        }

    def test_the_weights_are_scaled_orthonormal_and_biases_0(self) -> None:
        params = drawn(Lsuv(), mlp(), probe())
        for name, tensor in params.items():
            if tensor.ndim == 1:
                assert not tensor.any()
                continue
            values = torch.linalg.svdvals(tensor)
            torch.testing.assert_close(values, values.mean().expand_as(values), msg=name)

    def test_a_tolerance_is_a_tolerance(self) -> None:
        params = drawn(Lsuv(tol=1e9), mlp(), probe())
        assert all(torch.linalg.svdvals(params[f"{index}.weight"])[0] == pytest.approx(1) for index in (0, 2, 4, 6))

    def test_dead_layers_keep_orthonormal_weights(self) -> None:
        params = drawn(Lsuv(), mlp(), probe(torch.zeros(256, 64)))
        assert all(torch.linalg.svdvals(params[f"{index}.weight"])[0] == pytest.approx(1) for index in (0, 2, 4, 6))

    def test_tied_weights_are_one_layer(self) -> None:
        def build() -> nn.Module:
            model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
            model[2].weight = model[0].weight
            return model

        params = drawn(Lsuv(tol=1e-3, max_tries=30), build, probe())
        model = build()
        model.load_state_dict({**params, "2.weight": params["0.weight"]})
        outputs = outputs_of(model, images())
        pooled = torch.cat([outputs["0"], outputs["2"]])
        assert float(pooled.var(unbiased=False)) == pytest.approx(1, abs=2e-3)
        assert float(outputs["4"].var(unbiased=False)) == pytest.approx(1, abs=2e-3)

    @pytest.mark.parametrize(
        ("options", "match"), [({"tol": 0.0}, "above 0"), ({"max_tries": 0}, "whole number from 1")]
    )
    def test_bad_options(self, options: dict[str, Any], match: str) -> None:
        with pytest.raises(ConfigError, match=match):
            Lsuv(**options)


def balance_of(build: Build, params: Params, inputs: Tensor) -> float:
    """Largest distance of log sqrt(mean grad^2 / mean w^2) of a layer from the mean over layers.

    Over 40 losses of other random directions than the law used.
    """
    model = filled(build, params)
    weights = {name: parameter for name, parameter in model.named_parameters() if parameter.ndim >= 2}
    squares = dict.fromkeys(weights, 0.0)
    for seed in range(40):
        outputs = model(inputs)
        eta = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(1000 + seed))
        for name, gradient in zip(
            weights, torch.autograd.grad((outputs * eta).sum(), list(weights.values())), strict=True
        ):
            squares[name] += float(gradient.double().square().mean())
    logs = torch.tensor(
        [math.log(squares[name] / float(weights[name].detach().square().mean())) / 2 for name in weights]
    )
    return float((logs - logs.mean()).abs().max())


def by_the_published_steps(model: nn.Sequential, inputs: Tensor, eta: Tensor, steps: int) -> None:
    """`calibrateGradientRatio` of github.com/philkr/magic_init, layer by layer, for linear layers in a chain."""
    chain = list(model)
    linears = [layer for layer in chain if isinstance(layer, nn.Linear)]

    def run(adjust: Callable[[nn.Linear, Tensor], None]) -> Tensor:
        x = inputs
        for layer in chain:
            if isinstance(layer, nn.Linear):
                adjust(layer, x)
            x = layer(x)
        return x

    sizes: dict[nn.Linear, Tensor] = {}
    with torch.no_grad():
        outputs = run(lambda layer, x: sizes.update({layer: x.abs().mean()}))
    for _ in range(steps):
        gradients = torch.autograd.grad((model(inputs) * eta).sum(), [layer.weight for layer in linears])
        ratio = {
            layer: (gradient.square().mean() / layer.weight.square().mean()).sqrt().detach()
            for layer, gradient in zip(linears, gradients, strict=True)
        }
        spread = outputs.std(0, correction=0).mean()
        target = torch.stack(list(ratio.values())).log().mean().exp() * spread ** (1 / len(ratio))

        def adjust(layer: nn.Linear, x: Tensor, ratio: Any = ratio, target: Tensor = target) -> None:
            layer.bias *= x.abs().mean() / sizes[layer]
            sizes[layer] = x.abs().mean()
            layer.weight *= (ratio[layer] / target).sqrt()
            layer.bias *= (ratio[layer] / target).sqrt()

        with torch.no_grad():
            outputs = run(adjust)


class TestDataDependent:
    @pytest.mark.filterwarnings("ignore:DataDependent. the outputs")  # of Tanh, after three steps
    @pytest.mark.parametrize("phi", [nn.Sigmoid, nn.Tanh, nn.GELU, nn.ReLU])
    def test_its_balance_is_the_published_one_and_holds_the_std_of_the_outputs(
        self, phi: Callable[[], nn.Module]
    ) -> None:
        def build() -> nn.Sequential:
            layers = [layer for _ in range(4) for layer in (nn.Linear(64, 64), phi())]
            return nn.Sequential(*layers, nn.Linear(64, 10))

        data, steps = probe(), 3
        expected = build()
        expected.load_state_dict(drawn(DataDependent(steps=0), build, data))
        eta = torch.empty(256, 10).normal_(generator=rng.generator(0, "init", "data_dependent.eta"))
        by_the_published_steps(expected, data.inputs, eta, steps)
        for name, tensor in drawn(DataDependent(steps=steps), build, data).items():
            torch.testing.assert_close(tensor, expected.state_dict()[name], rtol=0.02, atol=1e-4)
        outputs = filled(build, drawn(DataDependent(), build, data))(data.inputs).detach()
        assert float(outputs.std(0).mean()) == pytest.approx(1, rel=0.1)  # without the std in the target: 1.5 for tanh

    def test_outputs_that_end_far_from_std_1_are_told(self) -> None:
        def build() -> nn.Module:
            layers = [layer for _ in range(4) for layer in (nn.Linear(64, 64), nn.Tanh())]
            return nn.Sequential(*layers, nn.Linear(64, 10))

        with pytest.warns(UserWarning, match=r"DataDependent: the outputs on the probe have std .*not homogeneous"):
            drawn(DataDependent(steps=3), build, probe())

    @pytest.mark.filterwarnings("ignore:DataDependent. the outputs")
    def test_what_is_balanced_best_is_kept(self) -> None:
        data = probe(images(0, 8, 16))
        found = [balance_of(rnn, drawn(DataDependent(steps=steps), rnn, data), data.inputs) for steps in (0, 1, 3)]
        assert found[0] > found[1] > 0.9 * found[2]

    def test_every_channel_has_mean_beta_and_variance_1(self, case: tuple[Build, tuple[int, ...]]) -> None:
        build, shape = case
        params = drawn(DataDependent(beta=0.3, steps=0), build, probe(images(0, *shape)))
        for name, output in outputs_of(filled(build, params), images(0, *shape)).items():
            torch.testing.assert_close(output.var(1, unbiased=False), torch.ones(len(output)), atol=ROUNDING, rtol=0)
            if f"{name}.bias" in params:
                torch.testing.assert_close(output.mean(1), torch.full((len(output),), 0.3), atol=ROUNDING, rtol=0)

    def test_layers_change_at_equal_rates(self, case: tuple[Build, tuple[int, ...]]) -> None:
        build, shape = case
        data = probe(images(0, *shape))
        # of a ratio between layers, over other random losses; the balance itself is within 0.01 for the law's own
        tolerance = 0.15
        assert balance_of(build, drawn(DataDependent(), build, data), data.inputs) < tolerance
        assert balance_of(build, drawn(DataDependent(steps=0), build, data), data.inputs) > 2 * tolerance

    def test_a_homogeneous_network_keeps_its_function(self) -> None:
        data = probe()
        before, after = (
            filled(mlp(), drawn(DataDependent(steps=steps), mlp(), data))(data.inputs) for steps in (0, 10)
        )
        torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-3)

    def test_one_step_is_exact_for_a_homogeneous_network(self) -> None:
        data = probe()
        once, often = (drawn(DataDependent(steps=steps), mlp(), data) for steps in (1, 10))
        for name in once:
            torch.testing.assert_close(once[name], often[name], rtol=1e-4, atol=1e-6)

    def test_damping_arrives_at_the_same_place_later(self) -> None:
        data = probe()
        assert balance_of(mlp(), drawn(DataDependent(damping=0.25, steps=1), mlp(), data), data.inputs) > 0.15
        assert balance_of(mlp(), drawn(DataDependent(damping=0.25, steps=40), mlp(), data), data.inputs) < 0.15

    @pytest.mark.filterwarnings("ignore:DataDependent. the outputs")
    def test_a_recurrent_network_is_balanced_as_far_as_repetition_goes(self) -> None:
        data = probe(images(0, 8, 16))
        before, after = (
            balance_of(rnn, drawn(DataDependent(steps=steps), rnn, data), data.inputs) for steps in (0, 10)
        )
        assert after < before / 3

    def test_dead_channels_stay_finite(self) -> None:
        params = drawn(DataDependent(), mlp(), probe(torch.zeros(256, 64)))
        assert all(tensor.isfinite().all() for tensor in params.values())

    def test_a_model_without_layers_is_left_at_its_embeddings(self) -> None:
        tokens = torch.arange(256) % 7
        params = drawn(DataDependent(), lambda: nn.Sequential(nn.Embedding(7, 6)), probe(tokens))
        assert list(params) == ["0.weight"]

    def test_of_several_outputs_the_first_real_one_counts(self) -> None:
        class Two(nn.Module):
            def __init__(self, hides: bool, number: int) -> None:
                super().__init__()
                self.layer, self.hides, self.number = nn.Linear(64, 10), hides, number

            def forward(self, x: Tensor) -> object:
                found = self.layer(x)
                several = (found.argmax(1), found, x)[: self.number]
                return several if self.hides else found

        alone = drawn(DataDependent(), lambda: Two(False, 0), probe())
        among = drawn(DataDependent(), lambda: Two(True, 3), probe())
        assert all(torch.equal(among[name], alone[name]) for name in alone)
        with pytest.raises(ConfigError, match=r"returns a tuple without a real tensor.*returns its logits"):
            drawn(DataDependent(), lambda: Two(True, 1), probe())

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"beta": math.inf}, "`beta`=inf. Expected a finite number"),
            ({"steps": -1}, "whole number from 0"),
            ({"damping": 0.0}, "above 0"),
            ({"damping": 1.5}, "at most 1"),
        ],
    )
    def test_bad_options(self, options: dict[str, Any], match: str) -> None:
        with pytest.raises(ConfigError, match=match):
            DataDependent(**options)


class Residual(nn.Module):
    """x -> head(2 x + relu(inner(x)) - 1), with functions that forward calls."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.head = nn.Linear(64, 100), nn.Linear(100, 100), nn.Linear(100, 200)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(2 * x + functional.relu(self.inner(x)) - 1)


def variance_is(weight: Tensor, expected: float) -> bool:
    """Chi-square at 10,000 entries or more: an error of the std of 4 % is found at a level of 1e-6."""
    assert weight.numel() >= 10_000
    statistic = float(weight.double().square().sum()) / expected
    return bool(min(stats.chi2.cdf(statistic, weight.numel()), stats.chi2.sf(statistic, weight.numel())) > 5e-7)


class TestAutoInit:
    @pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
    def test_every_layer_has_mean_square_1(self, name: str) -> None:
        def build() -> nn.Module:
            return Mlp((256,), 256, activation(name), depth=6, width=256)

        inputs = 0.5 + torch.randn(256, 256, generator=torch.Generator().manual_seed(3))
        squares: dict[str, list[float]] = defaultdict(list)
        for seed in range(8):
            params = drawn(AutoInit(), build, probe(inputs), seed)
            for layer, output in outputs_of(filled(build, params), inputs).items():
                squares[layer].append(float(output.square().mean()))
        assert len(squares) == 7
        # over 8 draws of up to 7 layers, each of relative std up to sqrt(5 / 256) for ReLU: 3.5 of them
        tolerance = 3.5 * math.sqrt(7 * 5 / 256 / 8)
        for layer, values in squares.items():
            assert sum(values) / len(values) == pytest.approx(1, abs=tolerance), layer

    def test_by_hand(self) -> None:
        params = drawn(AutoInit(input_mean=0.5, input_variance=2.0), lambda: wide("relu"), None)
        assert variance_is(params["0.weight"], 1 / (128 * 2.25))
        assert variance_is(params["2.weight"], 1 / (256 * 0.5))
        assert not variance_is(params["2.weight"], 1.08 / (256 * 0.5))

    def test_inputs_of_the_probe_are_measured(self) -> None:
        inputs = 3 + 2 * torch.randn(1000, 128, generator=torch.Generator().manual_seed(0))
        assert variance_is(drawn(AutoInit(), lambda: wide("relu"), probe(inputs))["0.weight"], 1 / (128 * 13))
        assert variance_is(drawn(AutoInit(), lambda: wide("relu"), None)["0.weight"], 1 / 128)

    def test_sums_and_functions_in_forward_are_seen(self) -> None:
        params = drawn(AutoInit(), Residual, None)
        half = 1 / math.sqrt(2 * math.pi)  # E[relu(z)]; E[relu(z)^2] = 1/2
        mean_square = 4 + (0.5 - half**2) + (half - 1) ** 2
        assert variance_is(params["inner.weight"], 1 / 100)
        assert variance_is(params["head.weight"], 1 / (100 * mean_square))

    def test_pooling_is_seen(self) -> None:
        def build(pool: nn.Module) -> Build:
            return lambda: nn.Sequential(nn.Conv2d(3, 4, 3), pool, nn.Flatten(), nn.Linear(64, 200))

        def expects(pool: nn.Module, variance: float, *sides: int) -> bool:
            return variance_is(drawn(AutoInit(), build(pool), probe(images(0, 3, *sides)))["3.weight"], variance)

        largest_of_4 = 1.0293753730039641**2 + 0.49171523687474163  # moments of the largest of 4 normals
        assert expects(nn.MaxPool2d(2), 1 / (64 * largest_of_4), 10, 10)
        assert expects(nn.AvgPool2d(2), 4 / 64, 10, 10)
        assert expects(nn.AvgPool2d((1, 2)), 2 / 64, 10, 6)

    def test_norms_and_unknown_modules_put_out_unit_variance(self) -> None:
        normed = drawn(AutoInit(), lambda: wide("relu", nn.LayerNorm(256)), None)
        assert variance_is(normed["3.weight"], 1 / 256)

    @pytest.mark.filterwarnings("ignore:describe. no forward pass")
    def test_where_no_pass_can_be_recorded_the_layers_are_taken_in_their_order(self) -> None:
        class Particular(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layers = wide("relu")

            def forward(self, x: Tensor) -> Tensor:
                if len(x) != 7:
                    raise ValueError
                return self.layers(x) + self.layers(x)

        params = drawn(AutoInit(input_mean=1.0), Particular, None)
        assert variance_is(params["layers.0.weight"], 1 / (128 * 2))
        assert variance_is(params["layers.2.weight"], 1 / (256 * 0.5))

    @pytest.mark.parametrize(
        "build", [lambda: nn.LSTM(64, 128), lambda: Rnn((8, 64), 10, activation("relu"), width=128)]
    )
    def test_recurrent_matrices_have_the_variance_of_an_orthogonal_one(self, build: Build) -> None:
        recurrent = [spec.name for spec in describe(build()) if spec.role is Role.RECURRENT]
        params = drawn(AutoInit(), build, None)
        assert recurrent
        assert all(variance_is(params[name], 1 / 128) for name in recurrent)

    def test_a_signal_that_is_0_does_no_harm(self) -> None:
        assert variance_is(drawn(AutoInit(0.0, 0.0), lambda: wide("relu"), None)["0.weight"], 1 / 128)

    @pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "sigmoid"])
    def test_moments_behind_an_activation_by_adaptive_integration(self, name: str) -> None:
        phi = activation(name).function
        mean, variance = 0.7, 2.5

        def moment(power: int) -> float:
            def integrand(z: float) -> float:
                x = torch.tensor(mean + math.sqrt(variance) * z, dtype=torch.float64)
                return float(phi(x)) ** power * float(stats.norm.pdf(z))

            return float(integrate.quad(integrand, -10, 10, points=[-mean / math.sqrt(variance)])[0])

        signal = Signal(mean, variance).through(phi)
        # a kink that is not at a whole number lies inside a panel of the quadrature
        assert signal.mean == pytest.approx(moment(1), abs=1e-4)
        assert signal.mean_square == pytest.approx(moment(2), abs=1e-4)

    def test_moments_of_the_largest(self) -> None:
        largest = Signal(3.0, 4.0).maximum(2)
        assert largest.mean == pytest.approx(3 + 2 / math.sqrt(math.pi))
        assert largest.variance == pytest.approx(4 * (1 - 1 / math.pi))
        assert UNIT.maximum(1) == Signal(pytest.approx(0), pytest.approx(1))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("options", "match"),
        [({"input_mean": math.nan}, "a finite number"), ({"input_variance": -1.0}, "a finite number from 0")],
    )
    def test_bad_options(self, options: dict[str, Any], match: str) -> None:
        with pytest.raises(ConfigError, match=match):
            AutoInit(**options)


def wide(name: str, *norms: nn.Module) -> nn.Sequential:
    phi = {"relu": nn.ReLU()}[name]
    return nn.Sequential(nn.Linear(128, 256), phi, *norms, nn.Linear(256, 128))
