"""What each law draws for the suite's own models, in two numbers: `python -m support.starts` prints the table."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import torch

from initsuite.config.build import Builder
from initsuite.config.compose.resolve import Composed
from initsuite.config.sweep import build_jobs, compose_sweep
from initsuite.engine.stack import start_of
from initsuite.errors import InitsuiteError

MODELS = (
    "model=mlp model.depth=3", "model=mlp model.depth=3 model.norm=batch", "model=cnn", "model=resnet",
    "model=resnet model.norm=none", "model=rnn", "model=lstm", "model=gru", "model=vit", "model=vit model.norm=post",
    "model=transformer dataset=text",
)  # fmt: skip
"""Overrides; the laws that need an option of the model get it from their `requires`."""
LAWS = (
    "zero", "constant", "normal", "uniform", "truncated_normal", "torch_default", "keras_default", "flax_default",
    "xavier", "xavier_uniform", "he", "he_uniform", "he_fan_out", "lecun", "orthogonal", "identity", "sparse",
    "critical", "asymmetric", "stable_resnet", "zero_gamma", "gpt2", "mimetic", "zero_hadamard", "idinit", "tanh_init",
    "mup", "guideline", "fixup", "skipinit", "rezero", "deepnorm", "he_random_biases", "kumar",
)  # fmt: skip


def starts() -> Iterator[tuple[str, str, str, float, float]]:
    """(model, activation, law, and the two numbers) of seed 0; of those that go together."""
    for model, activation, law in [
        *itertools.product(MODELS, ("relu",), LAWS),
        *itertools.product(MODELS[:1], ("tanh",), LAWS),
    ]:
        found = start_in_two_numbers(model, activation, law)
        if found is not None:
            yield model, activation, law, *found


def start_in_two_numbers(model: str, activation: str, law: str) -> tuple[float, float] | None:
    """The sum of all |w| of a start, and the sum of all w weighted by their places; None where it is refused."""
    builder, composed = _composed(model, activation)
    try:
        cell = build_jobs([composed[law]], builder).jobs[0].cell
        start, _ = start_of(cell.workload, cell.initializer, 0)
    except InitsuiteError:
        return None
    flat = torch.cat([start.params[name].flatten().double() for name in sorted(start.params)])
    return float(flat.abs().sum()), float((flat * torch.linspace(1, 2, len(flat), dtype=torch.float64)).sum())


@functools.lru_cache(maxsize=2)
def _composed(model: str, activation: str) -> tuple[Builder, dict[str, Composed]]:
    """The jobs of all laws for a model, and what builds them, which records a model once for all laws."""
    overrides = [*model.split(), f"activation={activation}", f"init={','.join(LAWS)}", "protocol=smoke"]
    return Builder(), dict(zip(LAWS, compose_sweep([*overrides, "tracking=disabled"]), strict=True))


if __name__ == "__main__":
    for model, activation, law, total, weighted in starts():
        print(f"{model}\t{activation}\t{law}\t{total:.9g}\t{weighted:.9g}")
