"""Inputs to try a model on."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.data.torchvision_import import import_torchvision
from initsuite.errors import ConfigError
from initsuite.models.describe.examples import Example, given, guesses

# ---- guesses: a model must run on one of them -----------------------------------------------------------------------


class OnLength(nn.Module):
    """As language models are often written: token ids, no more than `longest` of them."""

    def __init__(self, longest: int) -> None:
        super().__init__()
        self.longest = longest
        self.tokens, self.positions, self.head = nn.Embedding(65, 8), nn.Embedding(longest, 8), nn.Linear(8, 65)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> Tensor:
        assert idx.shape[1] <= self.longest
        return self.head(self.tokens(idx) + self.positions(torch.arange(idx.shape[1])))


class OfTwo(nn.Module):
    """Of a place and a time, both of size 1."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layers(torch.cat([x, t], 1))


class OnGraph(nn.Module):
    """A graph convolution by hand: the mean over the neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(7, 3)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        assert (edge_index[0] != edge_index[1]).all()
        mean = torch.zeros(len(x), 3).index_add(0, edge_index[1], self.lin(x)[edge_index[0]])
        return torch.zeros(1, 3).index_add(0, batch, mean)


class Denoising(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.time, self.first, self.last = nn.Embedding(10, 4), nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 3)

    def forward(self, sample: Tensor, timestep: Tensor) -> Tensor:
        return self.last(functional.silu(self.first(sample) + self.time(timestep)[..., None, None]))


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(12, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w


def flattened(channels: int, size: int) -> nn.Module:
    """A convolution, and a linear layer that fixes the size of the picture."""
    return nn.Sequential(nn.Conv2d(channels, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * (size - 2) ** 2, 5))


CASES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "mlp": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), "2 vectors of 784 features"),
    "convolutions": (lambda: nn.Conv2d(5, 2, 3), "2 pictures of 5 x 32 x 32"),
    "mnist": (lambda: flattened(1, 28), "2 pictures of 1 x 28 x 28"),
    "tiny imagenet": (lambda: flattened(3, 64), "2 pictures of 3 x 64 x 64"),
    "signal": (lambda: nn.Conv1d(12, 4, 101), "2 signals of 12 x 1024"),
    "volume": (lambda: nn.Conv3d(1, 4, 3), "2 signals of 1 x 16 x 16 x 16"),
    "language model": (lambda: OnLength(4), "2 sequences of 4 tokens"),
    "wrapped": (lambda: nn.DataParallel(OnLength(16)), "2 sequences of 8 tokens"),
    "recurrent": (lambda: nn.LSTM(6, 4), "2 sequences of 8 vectors of 6 features"),
    "transformer": (lambda: nn.Transformer(8, 2, 1, 1, 16), "2 sequences of 8 vectors of 8 features"),
    "attention": (lambda: nn.MultiheadAttention(8, 2), "2 sequences of 8 vectors of 8 features"),
    "bilinear": (lambda: nn.Bilinear(5, 7, 3), "2 vectors of 5 features and 2 vectors of 7 features"),
    "two": (OfTwo, "2 vectors of 1 features and 2 vectors of 1 features"),
    "graph": (OnGraph, "8 nodes of 7 features and a ring of 8 nodes and nodes of one graph"),
    "denoising": (Denoising, "2 pictures of 3 x 32 x 32 and 2 whole numbers"),
    "bare": (Bare, "2 vectors of 12 features"),
    "alexnet": (lambda: import_torchvision().models.alexnet(weights=None), "2 pictures of 3 x 64 x 64"),
    "vit": (lambda: import_torchvision().models.vit_b_16(weights=None), "2 pictures of 3 x 224 x 224"),
}


def first_that_runs(model: nn.Module) -> Example | None:
    for example in guesses(model.eval()):
        try:
            with torch.no_grad():
                model(*example.args, **example.kwargs)
        except Exception:  # as whoever asks for guesses must do
            continue
        return example
    return None


@pytest.mark.parametrize("name", CASES)
def test_a_model_runs_on_a_guess_that_says_what_it_is(name: str) -> None:
    build, words = CASES[name]
    with torch.device("meta"):
        declared = [example.assumed for example in guesses(build())]
    if name != "vit":  # 86 million parameters: listed is enough
        found = first_that_runs(build())
        assert found is not None
        assert found.assumed.startswith(words)
        assert found.assumed in declared
    assert any(assumed.startswith(words) for assumed in declared)
    assert len(set(declared)) == len(declared) <= 30


def test_guesses_are_plain_and_move_no_random_state() -> None:
    state = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            made = [*guesses(flattened(3, 64)), *guesses(OnLength(4))]
    finally:
        torch.set_default_dtype(torch.float32)
    tensors = [tensor for example in made for tensor in example.args]
    assert {(tensor.device.type, tensor.dtype) for tensor in tensors} == {("cpu", torch.float32), ("cpu", torch.int64)}
    assert all(0 <= tensor.min() <= tensor.max() < 65 for tensor in tensors if tensor.dtype is torch.int64)
    assert torch.equal(state, torch.get_rng_state())


WIDTHS = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
OF_TRANSFORMERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "GPT2LMHeadModel": ("GPT2Config", {"n_embd": 32, "n_layer": 1, "n_head": 4}, "2 sequences of 8 tokens"),
    "GPT2ForSequenceClassification": (
        "GPT2Config",
        {"n_embd": 32, "n_layer": 1, "n_head": 4},
        "the first of 2 sequences of 8 tokens",  # it refuses several without a token for padding
    ),
    "ViTModel": ("ViTConfig", {**WIDTHS, "image_size": 48}, "2 pictures of 3 x 48 x 48"),
    "T5ForConditionalGeneration": (
        "T5Config",
        {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4},
        "2 sequences of 8 tokens and 2 sequences of 8 tokens",
    ),
    "ASTModel": (
        "ASTConfig",
        {**WIDTHS, "max_length": 64, "num_mel_bins": 32},
        "2 spectrograms of 64 x 32",
    ),
}


@pytest.mark.parametrize("name", OF_TRANSFORMERS)
def test_a_configuration_of_transformers_says_the_sizes(name: str) -> None:
    import_torchvision()
    transformers = pytest.importorskip("transformers")
    config, options, words = OF_TRANSFORMERS[name]
    found = first_that_runs(getattr(transformers, name)(getattr(transformers, config)(**options)))
    assert found is not None
    assert found.assumed == words


def test_a_configuration_of_timm_says_the_size() -> None:
    import_torchvision()
    timm = pytest.importorskip("timm")
    sizes = []
    for options in ({}, {"img_size": 96, "in_chans": 1}):
        found = first_that_runs(timm.create_model("vit_tiny_patch16_224", depth=1, **options))
        assert found is not None
        sizes.append(found.assumed)
    assert sizes == ["2 pictures of 3 x 224 x 224", "2 pictures of 1 x 96 x 96"]


# ---- given ----------------------------------------------------------------------------------------------------------

X, TARGETS = torch.ones(2, 3), torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("example", "args", "kwargs"),
    [
        (X, (X,), {}),
        (X.double(), (X,), {}),
        ((X,), (X,), {}),
        ([X, TARGETS], (X,), {}),  # a batch of a DataLoader
        ({"input": X}, (), {"input": X}),
        (UserDict(input=X), (), {"input": X}),  # as transformers' tokenizers return
        (((X,), {"input": X}), (X,), {"input": X}),
        (([X], {}), (X,), {}),
    ],
)
def test_an_example_is_given_in_several_forms(example: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    found = given(example, nn.Linear(3, 4))
    assert len(found.args) == len(args)
    assert found.kwargs.keys() == kwargs.keys()
    pairs = [*zip(found.args, args, strict=True), *((found.kwargs[name], kwargs[name]) for name in kwargs)]
    assert all(one.dtype is other.dtype and torch.equal(one, other) for one, other in pairs)


def test_targets_stay_where_forward_takes_them() -> None:
    ids = torch.zeros(2, 4, dtype=torch.int64)
    assert len(given((ids, ids), OnLength(4)).args) == 2
    assert len(given((X, X, TARGETS), nn.Bilinear(3, 3, 2)).args) == 2
    assert len(given((ids, ids, TARGETS), nn.DataParallel(OnLength(4))).args) == 2


@pytest.mark.parametrize("example", [(), [], None, {1: X}, "pictures", torch.utils.data.TensorDataset(X)])
def test_anything_else_is_refused(example: object) -> None:
    with pytest.raises(ConfigError, match=r"bad value `example`=.*Expected a tensor.*give one: example=next\(iter"):
        given(example, nn.Linear(3, 4))
