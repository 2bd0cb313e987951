"""How large the signal and its gradient are, over the depth of a network."""

from __future__ import annotations

import math

import torch

from initsuite.literature.measures.passing import Start, mean_square


@torch.no_grad()
def signal(start: Start) -> dict[str, float]:
    """The signal over depth.

    ln_q_per_layer: change of the log of the mean square pre-activation from the first hidden layer to the last, per
    layer; 0 is ideal. activation_mean, activation_variance, activation_std: of what goes into the head.
    preactivation_std: of what goes into the nonlinearities behind the first, mean over layers; of a sine, of its
    argument. difference_std: standard deviation over examples of the last hidden pre-activations, root of the mean
    square over units. q_largest_deviation: of the variance of the outputs of a layer from 1, the largest of all layers.
    """
    passed = start.passed()
    hidden, last = passed.hidden, passed.inputs[-1].double()
    first, end = mean_square(hidden[0]), mean_square(hidden[-1])
    layers = max(len(hidden) - 1, 1)
    phi = start.layers[0].nonlinearity
    omega = dict(phi.options).get("omega", 1.0) if phi else 1.0
    spreads = [float(each.double().std(correction=0)) * omega for each in hidden[1:]]
    return {
        "ln_q_per_layer": (math.log(end / first) if first and end else -math.inf) / layers,
        "activation_mean": float(last.mean()),
        "activation_variance": float(last.var(correction=0)),
        "activation_std": float(last.std(correction=0)),
        "preactivation_std": sum(spreads) / max(len(spreads), 1),
        "difference_std": float(hidden[-1].double().var(0, correction=0).mean().sqrt()),
        "q_largest_deviation": max(abs(float(each.double().var(correction=0)) - 1) for each in passed.outputs),
    }


def gradients(start: Start) -> dict[str, float]:
    """The gradient over depth.

    gradient_top_to_bottom: standard deviation of the gradient of the loss in the pre-activations of the last hidden
    layer, divided by that in the first; 1 is ideal. ln_gradient_growth: log of the length of the gradient in the first
    hidden layer over that in the last, of a single example.
    """
    inputs, targets = start.batch
    found = []
    for size in (len(inputs), 1):
        params = {name: value.detach().requires_grad_() for name, value in start.params.items()}
        passed = start.passed(inputs[:size], params)
        loss = start.cell.workload.loss(passed.output, targets[:size]).mean()
        ends = torch.autograd.grad(loss, [passed.hidden[0], passed.hidden[-1]])
        found.append([math.sqrt(mean_square(end)) for end in ends])
    (bottom, top), (first, last) = found
    length = math.log(first / last) if first and last else -math.inf
    units = [hidden.shape[-1] for hidden in (passed.hidden[0], passed.hidden[-1])]
    return {
        "gradient_top_to_bottom": top / bottom if bottom else math.inf,
        "ln_gradient_growth": length + 0.5 * math.log(units[0] / units[1]),
    }


@torch.no_grad()
def stream(start: Start) -> dict[str, float]:
    """The residual stream.

    ln_stream_growth: log of its mean square behind the last branch over that before the first. stream_added: mean
    square of what all branches have added.
    """
    first, *_, last = start.passed().stream
    return {
        "ln_stream_growth": math.log(mean_square(last) / mean_square(first)),
        "stream_added": mean_square(last.double() - first.double()),
    }
