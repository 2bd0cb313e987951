"""What the first steps of training change."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.func import functional_call

from initsuite.literature.measures.passing import Start

ADAM_LR, ADAM_STEPS = 1e-3, 5
SGD_LR, SGD_STEPS, BATCH = 0.05, 200, 64
EXACT = 1e-9
"""Relative: singular values below it are rounding of float64."""


def coordinates(start: Start) -> dict[str, float]:
    """hidden_change: root mean square change of the pre-activations of the last hidden layer in five steps of Adam at
    0.001 times the factors of the initializer, each on a batch of its own."""
    params = {name: value.clone().requires_grad_() for name, value in start.params.items()}
    factors = start.drawn.lr_factors
    groups = [{"params": [value], "lr": ADAM_LR * factors.get(name, 1.0)} for name, value in params.items()]
    optimizer = torch.optim.Adam(groups)
    with torch.no_grad():
        before = start.passed(params=params).hidden[-1]
    for inputs, targets in _batches(start, ADAM_STEPS):
        optimizer.zero_grad()
        start.cell.workload.loss(functional_call(start.model, params, (inputs,)), targets).mean().backward()
        optimizer.step()
    with torch.no_grad():
        change = start.passed(params=params).hidden[-1] - before
    return {"hidden_change": math.sqrt(float(change.double().square().mean()))}


def rank_after(start: Start) -> dict[str, float]:
    """rank_of_change: rank of what 200 steps of gradient descent add to the last square hidden matrix, in float64;
    biases stay as they are."""
    weights = {spec.name for spec in start.layers}
    params = {name: value.double() for name, value in start.params.items()}
    for name in weights:
        params[name].requires_grad_()
    name = [spec.name for spec in start.layers if len(set(spec.shape)) == 1][-1]
    first = params[name].detach().clone()
    for inputs, targets in _batches(start, SGD_STEPS):
        outputs = functional_call(start.model, params, (inputs.double(),))
        loss = start.cell.workload.loss(outputs, targets).mean()
        trained = [params[each] for each in sorted(weights)]
        with torch.no_grad():
            for value, gradient in zip(trained, torch.autograd.grad(loss, trained), strict=True):
                value -= SGD_LR * gradient
    values = torch.linalg.svdvals(params[name].detach() - first)
    return {"rank_of_change": float((values > EXACT * values[0]).sum())}


def _batches(start: Start, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    train = start.cell.workload.dataset.train.complete()
    generator = torch.Generator().manual_seed(start.seed)
    for _ in range(steps):
        chosen = torch.randint(len(train), (BATCH,), generator=generator)
        batch = train.map(lambda tensor, chosen=chosen: tensor[chosen])
        yield batch.inputs, batch.targets  # type: ignore[misc]
