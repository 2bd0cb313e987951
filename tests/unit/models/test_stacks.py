"""Every family of models under vmap: a stack equals each of its trials alone, and gradients reach every parameter."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from initsuite.activations import activation
from initsuite.models import Cnn, Gru, Lstm, Mlp, ResidualMlp, ResNet, Rnn, Siren, TorchvisionModel, Transformer, Vit
from initsuite.spec import Params

STACKED = 1e-9
"""Relative and absolute: float64 sums in another order, 1e-16 a term, over hundreds of terms and tens of layers."""
STACKED_ZOO = 1e-6
"""The same behind fifty BatchNorms over six examples each, whose smallest variances divide the rounding."""
REACHED = 1e-12
"""A larger gradient is not a rounding error: losses and weights are of order 1."""
TRIALS, EXAMPLES, OUTPUTS = 3, 6, 10
RELU, TANH, GELU, SINE = (activation(name) for name in ("relu", "tanh", "gelu", "sine"))
IMAGE, SERIES, TEXT, POINT = (3, 8, 8), (7, 2), (6,), (2,)


def family(kind: Any, shape: tuple[int, ...], phi: Any, **options: Any) -> tuple[Callable[[], nn.Module], tuple]:
    return (lambda: kind(shape, OUTPUTS, phi, **options)), shape


FAMILIES = {
    "mlp-bn": family(Mlp, IMAGE, TANH, widths=[32, 16], norm="batch"),
    "mlp-ln": family(Mlp, IMAGE, RELU, widths=[32, 16], norm="layer"),
    "mlp-linear": family(Mlp, IMAGE, activation("identity"), depth=5, width=16),
    "mlp-prelu": family(Mlp, IMAGE, activation("prelu"), width=16),
    "cnn": family(Cnn, IMAGE, RELU, channels=[4, 6]),
    "cnn-bn": family(Cnn, IMAGE, GELU, channels=[4, 6], norm="batch"),
    "cnn-vgg": family(Cnn, IMAGE, RELU, channels=[4, 6, 6], stride=[1, 1, 2], pool=[2], padding="circular"),
    "resnet": family(ResNet, IMAGE, RELU, depth=8, width=4),
    "resnet-scaled": family(ResNet, IMAGE, RELU, depth=8, width=4, norm="none", branch_scale=True),
    "resnet-fixup": family(ResNet, IMAGE, RELU, depth=14, width=4, norm="none", fixup=True),
    "residual-mlp": family(ResidualMlp, IMAGE, RELU, depth=2, width=8, norm="batch", branch_scale=True),
    "rnn": family(Rnn, IMAGE, TANH, depth=2, width=16),
    "rnn-series": family(Rnn, SERIES, TANH, width=8),
    "lstm": family(Lstm, IMAGE, TANH, depth=2, width=8),
    "lstm-series": family(Lstm, SERIES, TANH, width=8),
    "gru": family(Gru, IMAGE, TANH, depth=2, width=8),
    "gru-series": family(Gru, SERIES, TANH, width=8),
    "vit": family(Vit, IMAGE, GELU, depth=2, width=8),
    "vit-deepnorm-class": family(Vit, IMAGE, GELU, depth=2, width=8, norm="post", deepnorm=True, pool="class"),
    "vit-nonorm-scaled": family(Vit, IMAGE, RELU, depth=2, width=8, norm="none", branch_scale=True),
    "transformer": family(Transformer, TEXT, GELU, depth=2, width=8),
    "transformer-sub": family(Transformer, TEXT, GELU, depth=2, width=8, norm="sub"),
    "transformer-post": family(Transformer, TEXT, GELU, depth=2, width=8, norm="post"),
    "siren": family(Siren, POINT, SINE, width=16, omega_first=3.0),
    "zoo": family(TorchvisionModel, (1, 16, 16), RELU, arch="shufflenet_v2_x0_5"),
}


@pytest.fixture(params=FAMILIES, scope="module")
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Params, Params, Tensor, Tensor]:
    """(model, params, buffers, inputs, targets), all but the model [trial, ...]; every parameter is drawn."""
    build, shape = FAMILIES[request.param]
    torch.manual_seed(0)
    trials = [build().double() for _ in range(TRIALS)]
    params = {
        name: torch.stack([dict(trial.named_parameters())[name].detach() for trial in trials])
        for name, _ in trials[0].named_parameters()
    }
    params = {name: value + 0.1 * torch.randn_like(value) for name, value in params.items()}  # no scalar stays 0 or 1
    buffers = {name: value.expand(TRIALS, *value.shape) for name, value in trials[0].named_buffers()}
    if shape == TEXT:
        inputs, targets = torch.randint(OUTPUTS, (2, TRIALS, EXAMPLES, *TEXT))
    else:
        inputs = torch.randn(TRIALS, EXAMPLES, *shape, dtype=torch.float64)
        targets = torch.randint(OUTPUTS, (TRIALS, EXAMPLES))
    return trials[0], params, buffers, inputs, targets


def gradients(
    model: nn.Module, params: Params, buffers: Params, inputs: Tensor, targets: Tensor, *, is_stack: bool
) -> tuple[Params, Tensor, Params]:
    """(gradients, loss, buffers after the step), mapped and differentiated as the engine does it."""
    leaves = {name: value.detach().requires_grad_() for name, value in params.items()}

    def loss_of(params: Params, buffers: Params, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Params]:
        buffers = {name: value.clone() for name, value in buffers.items()}
        outputs = functional_call(model, (params, buffers), (inputs,))
        return functional.cross_entropy(outputs.flatten(0, -2), targets.flatten()), buffers

    loss, after = (vmap(loss_of) if is_stack else loss_of)(leaves, buffers, inputs, targets)
    grads = torch.autograd.grad(loss.sum(), list(leaves.values()))
    return dict(zip(leaves, grads, strict=True)), loss.detach(), after


def test_a_stack_of_three_equals_one_by_one(case: tuple[nn.Module, Params, Params, Tensor, Tensor]) -> None:
    model, params, buffers, inputs, targets = case
    near = STACKED_ZOO if isinstance(model, TorchvisionModel) else STACKED
    model.train()
    stacked = gradients(model, params, buffers, inputs, targets, is_stack=True)
    for trial in range(TRIALS):

        def of_trial(tree: Params, trial: int = trial) -> Params:
            return {name: value[trial] for name, value in tree.items()}

        alone = gradients(model, of_trial(params), of_trial(buffers), inputs[trial], targets[trial], is_stack=False)
        torch.testing.assert_close(of_trial(stacked[0]), alone[0], rtol=near, atol=near)
        torch.testing.assert_close(stacked[1][trial], alone[1], rtol=near, atol=near)
        torch.testing.assert_close(of_trial(stacked[2]), alone[2], rtol=near, atol=near)
        for name, buffer in alone[2].items():  # BatchNorm was in training mode
            assert not torch.equal(buffer, buffers[name][trial])


def test_an_evaluated_stack_equals_one_by_one(case: tuple[nn.Module, Params, Params, Tensor, Tensor]) -> None:
    """On inputs that all trials share, without gradients: where torch would take its fused kernels."""
    model, params, buffers, inputs, _ = case
    model.eval()
    with torch.no_grad():
        call = lambda params, buffers: functional_call(model, (params, buffers), (inputs[0],))  # noqa: E731
        stacked = vmap(call)(params, buffers)
        for trial in range(TRIALS):
            alone = call(*({name: value[trial] for name, value in tree.items()} for tree in (params, buffers)))
            torch.testing.assert_close(stacked[trial], alone, rtol=STACKED, atol=STACKED)


def test_gradients_reach_every_parameter(case: tuple[nn.Module, Params, Params, Tensor, Tensor]) -> None:
    model, params, buffers, inputs, targets = case
    model.train()
    grads, _, _ = gradients(model, params, buffers, inputs, targets, is_stack=True)
    has_batch_norm = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    for name, grad in grads.items():
        # BatchNorm takes out what a bias before it adds
        if not (has_batch_norm and name.endswith("bias") and "norm" not in name and "head" not in name):
            reached = grad.flatten(1).abs().amax(1)
            assert (reached > REACHED).all(), name


@pytest.mark.parametrize("name", [name for name in FAMILIES if not name.startswith(("zoo", "transformer"))])
def test_models_take_any_number_of_examples(name: str) -> None:
    build, shape = FAMILIES[name]
    model = build().eval()
    for examples in (1, 5):
        assert model(torch.zeros(examples, *shape)).shape == (examples, OUTPUTS)
