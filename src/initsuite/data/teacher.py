"""Teacher and student: regression on the outputs of a random network, whose best possible error is known."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from initsuite.data.base import Dataset, Split
from initsuite.data.splits import drawn_sizes
from initsuite.errors import bad_value, check_number, check_whole_number, unknown_choice
from initsuite.rng import generator

NAME = "teacher"
NONLINEARITIES = {"erf": torch.erf, "relu": torch.relu, "tanh": torch.tanh}
GAINS = {"erf": 1.0, "relu": math.sqrt(2), "tanh": 1.0}


def teacher(
    *,
    num_features: int = 20,
    num_outputs: int = 1,
    depth: int = 1,
    width: int = 10,
    nonlinearity: str = "erf",
    noise: float = 0.0,
    num_train: int = 2000,
    num_validation: int = 500,
    num_test: int = 500,
    data_seed: int = 0,
) -> Dataset:
    """x ~ N(0, I), y = standardised(teacher(x)) + noise z, z ~ N(0, I); the teacher is a random multi-layer perceptron.

    Its weights are N(0, gain^2 / fan_in), gain sqrt 2 for relu, else 1; it has no biases. Each output is standardised
    by its mean and std over the training split, before the noise: a constant guess has a mean squared error of
    1 + noise^2, and nothing can go below noise^2. One hidden layer of erf is close to the soft committee
    machine of the theory of online learning, whose output weights are all 1. Each split has its own random stream: its
    size leaves the others as they are.

    Args:
        num_features: length of an input, from 1.
        num_outputs: length of a target, from 1.
        depth: hidden layers of the teacher, from 1.
        width: units of each, from 1.
        nonlinearity: erf, relu or tanh.
        noise: std of the noise, in stds of the noiseless target, from 0.
        num_train, num_validation, num_test: number of examples, from 2.
        data_seed: draws the teacher and the examples, the same for all trials.

    Returns:
        Inputs [example, feature], targets [example, output].

    Raises:
        ConfigError: an option out of its range, or a teacher with a constant output.

    References:
        Saad and Solla 1995, On-line learning in soft committee machines.
    """
    sizes = {"num_features": num_features, "num_outputs": num_outputs, "depth": depth, "width": width}
    for name, size in sizes.items():
        check_whole_number(NAME, name, size)
    counts = drawn_sizes(NAME, num_train, num_validation, num_test, data_seed, minimum=2)
    check_number(NAME, "noise", noise, minimum=0)
    if nonlinearity not in NONLINEARITIES:
        raise unknown_choice(NAME, "nonlinearity", nonlinearity, NONLINEARITIES)
    weights = _weights([num_features, *[width] * depth, num_outputs], GAINS[nonlinearity], data_seed)
    pairs = {name: _draw(weights, nonlinearity, count, data_seed, name) for name, count in counts.items()}
    std, mean = torch.std_mean(pairs["train"][1], 0, correction=0, keepdim=True)
    if not std.all():
        fix = "Raise width, or change data_seed."
        raise bad_value(NAME, "width", width, "a teacher whose every output varies, which this one does not", fix)
    splits = []
    for name, (inputs, outputs) in pairs.items():
        stream = generator(data_seed, "data", f"{NAME}/{name}/noise")
        draws = torch.randn(outputs.shape, dtype=torch.float64, generator=stream)
        splits.append(Split(inputs.float(), ((outputs - mean) / std + noise * draws).float()))
    return Dataset(*splits, num_outputs=num_outputs)


def _weights(sizes: list[int], gain: float, seed: int) -> list[Tensor]:
    """[fan_in, fan_out] of each layer, float64. The gain is for the nonlinearity before: the first has none."""
    weights = []
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        stream = generator(seed, "data", f"{NAME}/layer{layer}")
        std = (gain if layer else 1.0) / math.sqrt(fan_in)
        weights.append(std * torch.randn(fan_in, fan_out, dtype=torch.float64, generator=stream))
    return weights


def _draw(weights: list[Tensor], nonlinearity: str, count: int, seed: int, split: str) -> tuple[Tensor, Tensor]:
    """Inputs [example, feature] and outputs [example, output] of the teacher."""
    stream = generator(seed, "data", f"{NAME}/{split}")
    inputs = torch.randn(count, weights[0].shape[0], dtype=torch.float64, generator=stream)
    hidden = inputs
    for weight in weights[:-1]:
        hidden = NONLINEARITIES[nonlinearity](hidden @ weight)
    return inputs, hidden @ weights[-1]
