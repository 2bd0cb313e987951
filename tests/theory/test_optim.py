"""The pure optimizers against torch.optim, step by step, alone and with scalars of their own in a stack."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_leaves, tree_map

from initsuite.errors import ConfigError
from initsuite.optim import Adam, AdamW, RmsProp, Sgd

# the engine never maps these optimizers by vmap (it moves them block by block), so nothing is lost there
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")
NUM_STEPS = 20
ATOL = 1e-12
"""Float64 rounding of 20 steps with parameters near 1 is below 1e-14; the nearest wrong formula (eps inside the root,
decay coupled, lr inside the buffer) is off by more than 1e-9 (tested below)."""
FLOAT32_RTOL = 1e-6
"""A few float32 roundings of 6e-8 each; 1 - beta2^t as written would be off by 6e-5 at t = 1."""

CASES = {
    "sgd": [Sgd(momentum=0.9), Sgd(momentum=0.0), Sgd(momentum=0.5, weight_decay=0.1)],
    "sgd-nesterov": [Sgd(0.9, nesterov=True), Sgd(0.3, nesterov=True, weight_decay=0.05)],
    "adam": [Adam(), Adam(beta1=0.0, beta2=0.9), Adam(eps=1e-3, weight_decay=0.1)],
    "adamw": [AdamW(), AdamW(beta1=0.5, weight_decay=0.3), AdamW(beta2=0.95, weight_decay=0.0)],
    "rmsprop": [RmsProp(), RmsProp(alpha=0.5, eps=1e-3, weight_decay=0.1), RmsProp(alpha=0.0, momentum=0.9)],
}
EACH = [(kind, index) for kind, cases in CASES.items() for index in range(len(cases))]
LRS = [0.003, 0.03, 0.01]


def small_net() -> nn.Sequential:
    """Rectangular layers, 6 -> 4 -> 3, with biases."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)).double()


def batches() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(NUM_STEPS, 8, 6, dtype=torch.float64), torch.randint(0, 3, (NUM_STEPS, 8))


def torch_optimizer(kind: str, ours, lr: float, params):
    s = ours.scalars
    if kind.startswith("sgd"):
        nesterov = kind == "sgd-nesterov"
        return torch.optim.SGD(params, lr, momentum=s["momentum"], nesterov=nesterov, weight_decay=s["weight_decay"])
    if kind == "rmsprop":
        return torch.optim.RMSprop(params, lr, **s)
    named = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
    return named(params, lr, betas=(s["beta1"], s["beta2"]), eps=s["eps"], weight_decay=s["weight_decay"])


def torch_path(kind: str, ours, lr: float) -> list[dict[str, Tensor]]:
    """Parameters after each step of torch.optim."""
    net = small_net()
    optimizer = torch_optimizer(kind, ours, lr, net.parameters())
    path = []
    for inputs, targets in zip(*batches(), strict=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), targets).backward()
        optimizer.step()
        path.append({name: value.detach().clone() for name, value in net.named_parameters()})
    return path


def our_step(optimizer):
    net = small_net()

    def loss(params, inputs, targets):
        return nn.functional.cross_entropy(functional_call(net, params, (inputs,)), targets)

    def step(params, state, scalars, inputs, targets):
        return optimizer.update(torch.func.grad(loss)(params, inputs, targets), state, params, scalars)

    return step


def start() -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in small_net().named_parameters()}


def scalars_of(optimizer, lr: float) -> dict[str, Tensor]:
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in {**optimizer.scalars, "lr": lr}.items()}


def our_path(optimizer, lr: float) -> list[dict[str, Tensor]]:
    step, params = our_step(optimizer), start()
    state, scalars, path = optimizer.init(params), scalars_of(optimizer, lr), []
    for inputs, targets in zip(*batches(), strict=True):
        params, state = step(params, state, scalars, inputs, targets)
        path.append(params)
    return path


def largest_gap(one: list[dict[str, Tensor]], other: list[dict[str, Tensor]]) -> float:
    gaps = [(a[name] - b[name]).abs().max() for a, b in zip(one, other, strict=True) for name in a]
    return float(torch.stack(gaps).max())


@pytest.mark.parametrize(("kind", "index"), EACH)
def test_each_step_is_that_of_torch(kind: str, index: int) -> None:
    optimizer = CASES[kind][index]
    assert optimizer.kind == kind
    assert largest_gap(our_path(optimizer, LRS[index]), torch_path(kind, optimizer, LRS[index])) < ATOL


@pytest.mark.parametrize("kind", CASES)
def test_in_a_stack_each_trial_has_its_own_lr_and_scalars(kind: str) -> None:
    members = CASES[kind]
    stack = lambda trees: tree_map(lambda *tensors: torch.stack(tensors), *trees)  # noqa: E731
    params = stack([start() for _ in members])
    state = stack([member.init(start()) for member in members])
    scalars = stack([scalars_of(member, lr) for member, lr in zip(members, LRS, strict=False)])
    # the engine takes the program of the first member for all: its own numbers must not leak into it
    step = vmap(our_step(members[0]), in_dims=(0, 0, 0, None, None))
    path = []
    for inputs, targets in zip(*batches(), strict=True):
        params, state = step(params, state, scalars, inputs, targets)
        path.append(params)
    for index, member in enumerate(members):
        mine = [{name: value[index] for name, value in point.items()} for point in path]
        assert largest_gap(mine, torch_path(kind, member, LRS[index])) < ATOL


@pytest.mark.parametrize(
    ("kind", "planted"),
    [("adam", AdamW(weight_decay=0.1)), ("sgd", Sgd(nesterov=True)), ("rmsprop", RmsProp(eps=2e-8))],
)
def test_the_comparison_rejects_another_program(kind: str, planted) -> None:
    right = {"adam": Adam(weight_decay=0.1), "sgd": Sgd(), "rmsprop": RmsProp()}
    expected = torch_path(kind, right[kind], 0.01)
    assert largest_gap(our_path(planted, 0.01), expected) > 1e3 * ATOL


def test_the_first_step_of_sgd_fills_the_buffer_with_the_gradient() -> None:
    sgd, params = Sgd(momentum=0.9), {"w": torch.tensor([1.0, -2.0])}
    grads = {"w": torch.tensor([0.5, 3.0])}
    scalars = {name: torch.tensor(value) for name, value in {**sgd.scalars, "lr": 0.1}.items()}
    _, state = sgd.update(grads, sgd.init(params), params, scalars)
    assert torch.equal(state["momentum"]["w"], grads["w"])


@pytest.mark.parametrize("gradient", [1e-3, 7.0, -250.0])
def test_the_first_step_of_adam_is_lr_in_float32(gradient: float) -> None:
    """w_1 - w_0 = -lr sign(g) / (1 + eps / |g|): the bias corrections cancel exactly."""
    adam, params = Adam(), {"w": torch.zeros(1)}
    scalars = {name: torch.tensor(value) for name, value in {**adam.scalars, "lr": 0.01}.items()}
    moved, _ = adam.update({"w": torch.tensor([gradient])}, adam.init(params), params, scalars)
    expected = -0.01 * gradient / (abs(gradient) + 1e-8)
    assert float(moved["w"]) == pytest.approx(expected, rel=FLOAT32_RTOL)


@pytest.mark.parametrize("gradient", [1e-3, 7.0, -250.0])
def test_the_first_step_of_rmsprop_is_lr_over_the_root_of_what_is_fresh(gradient: float) -> None:
    """v_1 = (1 - alpha) g^2: w_1 - w_0 = -lr sign(g) / sqrt(1 - alpha), ten times lr at alpha = 0.99."""
    rmsprop, params = RmsProp(eps=1e-12), {"w": torch.zeros(1)}
    scalars = {name: torch.tensor(value) for name, value in {**rmsprop.scalars, "lr": 0.01}.items()}
    moved, _ = rmsprop.update({"w": torch.tensor([gradient])}, rmsprop.init(params), params, scalars)
    assert float(moved["w"]) == pytest.approx(-0.1 if gradient > 0 else 0.1, rel=1e-5)  # 1 - 0.99 in float32: 1e-6


@pytest.mark.parametrize("optimizer", [Sgd(), Sgd(nesterov=True), Adam(), AdamW(), RmsProp(momentum=0.5)])
def test_update_writes_nothing_in_place(optimizer) -> None:
    params, grads = {"w": torch.ones(3)}, {"w": torch.full((3,), 2.0)}
    state = optimizer.init(params)
    before = tree_map(torch.clone, (params, grads, state))
    scalars = {name: torch.tensor(value) for name, value in {**optimizer.scalars, "lr": 0.1}.items()}
    optimizer.update(grads, state, params, scalars)
    tree_map(torch.testing.assert_close, (params, grads, state), before)


def test_a_diverged_trial_does_not_touch_its_stack_mates() -> None:
    params, grads = {"w": torch.ones(2, 3)}, {"w": torch.tensor([[float("nan")] * 3, [1.0] * 3])}
    adam = Adam()
    state = tree_map(lambda tensor: torch.stack([tensor, tensor]), adam.init({"w": torch.ones(3)}))
    scalars = {name: torch.tensor([value] * 2) for name, value in {**adam.scalars, "lr": 0.1}.items()}
    moved, _ = vmap(adam.update)(grads, state, params, scalars)
    assert moved["w"][0].isnan().all()
    assert moved["w"][1].isfinite().all()


@pytest.mark.parametrize("optimizer", [Sgd(), Adam(), AdamW(), RmsProp()])
def test_the_state_keeps_the_dtype_of_the_parameters(optimizer) -> None:
    params = {"w": torch.ones(3, dtype=torch.float64)}
    tensors = tree_leaves(optimizer.init(params))
    assert {tensor.dtype for tensor in tensors} == {torch.float64}


def test_kinds_are_distinct() -> None:
    kinds = sorted(optimizer.kind for optimizer in (Sgd(), Sgd(nesterov=True), Adam(), AdamW(), RmsProp()))
    assert all(one != other for one, other in pairwise(kinds))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sgd(momentum=1.0), "Sgd: bad value `momentum`=1.0. Expected a number from 0 and below 1"),
        (lambda: Sgd(momentum=True), "`momentum`=True. Expected a finite number from 0. It is below 1"),
        (lambda: Sgd(momentum="0.9"), "`momentum`='0.9'. Expected a finite number"),  # pyright: ignore[reportArgumentType]
        (lambda: Sgd(weight_decay=-0.1), "`weight_decay`=-0.1. Expected a finite number from 0"),
        (lambda: Sgd(weight_decay=float("nan")), "`weight_decay`=nan. Expected a finite number"),
        (lambda: Sgd(nesterov="yes"), "`nesterov`='yes'. Expected true or false"),  # pyright: ignore[reportArgumentType]
        (lambda: Sgd(momentum=0.0, nesterov=True), "Set momentum=0.9 or nesterov=false"),
        (lambda: Adam(beta1=-0.1), "Adam: bad value `beta1`=-0.1"),
        (lambda: Adam(beta2=1.0), "`beta2`=1.0. Expected a number from 0 and below 1"),
        (lambda: Adam(eps=0.0), "`eps`=0.0. Expected a finite number above 0. The usual value is 1e-8"),
        (lambda: Adam(weight_decay=float("inf")), "`weight_decay`=inf. Expected a finite number"),
        (lambda: AdamW(beta1=2.0), "AdamW: bad value `beta1`=2.0"),
        (lambda: RmsProp(alpha=1.0), "RmsProp: bad value `alpha`=1.0. Expected a number from 0 and below 1"),
        (lambda: RmsProp(momentum=-0.1), "`momentum`=-0.1. Expected a finite number from 0. It is below 1"),
        (lambda: RmsProp(eps=0), "`eps`=0. Expected a finite number above 0. The usual value is 1e-8"),
        (lambda: RmsProp(weight_decay=-1.0), "RmsProp: bad value `weight_decay`=-1.0"),
    ],
)
def test_bad_options_are_refused(make, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        make()
