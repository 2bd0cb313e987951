"""Laws of transformers on blocks that users bring: what every tensor gets, against the law written out by hand."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initsuite import initialize_
from initsuite.data.torchvision_import import import_torchvision
from initsuite.errors import ConfigError

import_torchvision()  # before transformers, which imports it

WIDTH, HEADS, DEPTH = 64, 4, 3
NOISE = 0.04
"""Relative error of the std of 4,096 entries: five standard errors of a normal law, 1 / sqrt(2 n) = 0.8 %."""
ROUNDING = 1e-5
TOKENS = torch.randint(0, 96, (2, 16), generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """nanoGPT's block; without `norm` nothing stands in the place of its norms, and `alpha` scales its shortcuts."""

    def __init__(self, norm: str, alpha: float) -> None:
        super().__init__()
        self.norm, self.alpha = norm, alpha
        kind = nn.LayerNorm if norm != "none" else lambda width: nn.Identity()
        self.ln_1, self.ln_2 = kind(WIDTH), kind(WIDTH)
        self.c_attn, self.c_out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.c_fc, self.c_proj = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def attn(self, x: Tensor) -> Tensor:
        q, k, v = self.c_attn(x).split(WIDTH, dim=2)
        q, k, v = (each.view(*x.shape[:2], HEADS, -1).transpose(1, 2) for each in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_out(y.transpose(1, 2).reshape(x.shape))

    def mlp(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x)))

    def forward(self, x: Tensor) -> Tensor:
        if self.norm == "post":
            x = self.ln_1(self.alpha * x + self.attn(x))
            return self.ln_2(self.alpha * x + self.mlp(x))
        x = self.alpha * x + self.attn(self.ln_1(x))
        return self.alpha * x + self.mlp(self.ln_2(x))


class Nano(nn.Module):
    """nanoGPT's layout, with its assert."""

    def __init__(self, norm: str = "pre", alpha: float = 1.0) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(96, WIDTH), nn.Embedding(32, WIDTH)
        self.h = nn.ModuleList(Block(norm, alpha) for _ in range(DEPTH))
        self.ln_f = nn.LayerNorm(WIDTH) if norm == "pre" else nn.Identity()
        self.lm_head = nn.Linear(WIDTH, 96, bias=False)

    def forward(self, index: Tensor) -> Tensor:
        assert index.shape[1] <= 32, "too long"
        x = self.wte(index) + self.wpe(torch.arange(index.shape[1], device=index.device))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


def gpt2(norm: str = "pre") -> nn.Module:
    import transformers

    sizes: dict[str, Any] = {"n_layer": DEPTH, "n_head": HEADS, "n_embd": WIDTH, "n_positions": 32, "vocab_size": 96}
    ids: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None}
    return without_norms(transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **ids)), norm)


def encoder(norm: str = "pre") -> nn.Module:
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, activation="gelu", batch_first=True)
    return without_norms(nn.TransformerEncoder(layer, DEPTH), norm)


def both(norm: str = "pre") -> nn.Module:
    return without_norms(nn.Transformer(WIDTH, HEADS, DEPTH, 2, 4 * WIDTH, batch_first=True), norm)


def without_norms(model: nn.Module, norm: str) -> nn.Module:
    for module in list(model.modules()) if norm == "none" else ():
        for name, child in module.named_children():
            if isinstance(child, nn.LayerNorm):
                setattr(module, name, nn.Identity())
    return model


MODELS: dict[str, Callable[[str], nn.Module]] = {"gpt2": gpt2, "nano": Nano, "encoder": encoder, "both": both}
NAMES = {
    "c_attn": "in", "in_proj": "in", "attn.c_proj": "out", "c_out": "out", "out_proj": "out",
    "c_fc": "up", "linear1": "up", "c_proj": "down", "linear2": "down", "wte": "token", "wpe": "position",
}  # fmt: skip
"""What a matrix is, by a part of its name."""


def matrices(model: nn.Module) -> dict[str, tuple[str, int, Tensor]]:
    """Kind, number of the block and values [output, input] of every matrix of a branch, by name; embeddings, too."""
    found = {}
    for name, parameter in model.named_parameters():
        kind = next((kind for part, kind in NAMES.items() if part in name), None)
        if kind and parameter.ndim > 1:
            block = next((int(piece) for piece in name.split(".") if piece.isdigit()), 0)
            is_transposed = type(model).__name__ == "GPT2LMHeadModel" and kind not in ("token", "position")
            values = parameter.detach()
            found[name] = (kind, block, values.T if is_transposed else values)
    return found


def stds_are(model: nn.Module, law: Callable[[str, int, Tensor], float]) -> None:
    found = matrices(model)
    assert len(found) >= 4 * DEPTH
    for name, (kind, block, values) in found.items():
        for part, rows in zip("qkv" if kind == "in" else " ", values.chunk(3 if kind == "in" else 1), strict=True):
            expected = law(part if kind == "in" else kind, block, rows)
            assert float(rows.std()) == pytest.approx(expected, rel=NOISE), (name, part)


@pytest.mark.parametrize("name", ["gpt2", "nano", "encoder"])
def test_laws_of_language_models_draw_every_tensor_by_their_formula(name: str) -> None:
    model = MODELS[name]("pre")
    initialize_(model, "gpt2")
    stds_are(model, lambda kind, block, w: 0.02 / math.sqrt(2 * DEPTH) if kind in ("out", "down") else 0.02)
    initialize_(model, "lm_depth")
    stds_are(model, lambda kind, block, w: 0.02 / math.sqrt(2 * (block + 1)) if kind in ("out", "down") else 0.02)
    initialize_(model, "small_init")
    wang, small = 2 / (DEPTH * math.sqrt(WIDTH)), math.sqrt(2 / (5 * WIDTH))
    stds_are(model, lambda kind, block, w: wang if kind in ("out", "down") else small)


def test_encoder_and_decoder_of_torch_have_depths_of_their_own() -> None:
    model = both()
    initialize_(model, "lm_depth")
    for name, (kind, block, values) in matrices(model).items():
        sums = 3 if name.startswith("decoder") else 2
        std = 0.02 / math.sqrt(sums * (block + 1)) if kind in ("out", "down") else 0.02
        assert float(values.std()) == pytest.approx(std, rel=NOISE), name


@pytest.mark.parametrize("name", ["gpt2", "nano", "encoder"])
def test_mimetic_makes_its_products_in_every_layer_and_head(name: str) -> None:
    model = MODELS[name]("pre")
    initialize_(model, "mimetic", query_key_noise=0.0, value_noise=0.0)
    found = list(matrices(model).values())
    packed = [values for kind, _, values in found if kind == "in"]
    outs = [values for kind, _, values in found if kind == "out"]
    assert len(packed) == len(outs) == DEPTH
    for (query, key, value), out in zip((each.split(WIDTH) for each in packed), outs, strict=True):
        torch.testing.assert_close(out @ value, -0.4 * torch.eye(WIDTH), atol=ROUNDING, rtol=0)
        for rows in torch.arange(WIDTH).chunk(HEADS):
            singular = torch.linalg.svdvals(query[rows].T @ key[rows])
            torch.testing.assert_close(singular[: WIDTH // HEADS], torch.full((WIDTH // HEADS,), 0.7))
            assert float(torch.trace(query[rows].T @ key[rows])) == pytest.approx(0.7 * WIDTH / HEADS, rel=ROUNDING)


def test_mimetic_sees_the_heads_of_attention_that_does_not_say_them() -> None:
    class Silent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v, self.o, self.head = (nn.Linear(WIDTH, WIDTH) for _ in range(5))

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = (each(x).view(*x.shape[:2], HEADS, -1).transpose(1, 2) for each in (self.q, self.k, self.v))
            y = (q @ k.transpose(2, 3) / 4).softmax(-1) @ v
            return self.head(x + self.o(y.transpose(1, 2).reshape(x.shape)))

    model = Silent()
    initialize_(model, "mimetic", example=torch.randn(2, 5, WIDTH), query_key_noise=0.0)
    for rows in torch.arange(WIDTH).chunk(HEADS):
        product = model.q.weight[rows].T @ model.k.weight[rows]
        assert float(product.detach().trace()) == pytest.approx(0.7 * WIDTH / HEADS, rel=ROUNDING)


def xavier(w: Tensor) -> float:
    return math.sqrt(2 / sum(w.shape))


@pytest.mark.parametrize("name", ["gpt2", "nano", "encoder"])
def test_t_fixup_draws_blocks_without_norm(name: str) -> None:
    model = MODELS[name]("none")
    initialize_(model, "t_fixup")
    plain = {"token": (9 * DEPTH) ** -0.25 / math.sqrt(WIDTH), "position": 1 / math.sqrt(WIDTH)}
    factor = 0.67 * DEPTH**-0.25
    if name == "gpt2":  # its table is its head as well
        plain["token"] = math.sqrt(2 / (96 + WIDTH))
    stds_are(model, lambda kind, block, w: plain.get(kind) or xavier(w) * (1 if kind in "qk" else factor))


def test_t_fixup_draws_an_encoder_and_a_decoder_each_by_its_kind() -> None:
    model = both("none")
    initialize_(model, "t_fixup")
    for name, (kind, _, values) in matrices(model).items():
        factor = 18**-0.25 if name.startswith("decoder") else 0.67 * DEPTH**-0.25
        parts = values.chunk(3) if kind == "in" else (values,)
        for place, rows in enumerate(parts):
            steers = kind == "in" and place < 2
            assert float(rows.std()) == pytest.approx(xavier(rows) * (1 if steers else factor), rel=NOISE), name


@pytest.mark.parametrize("name", ["gpt2", "nano", "encoder"])
def test_fixup_draws_blocks_without_norm_and_says_what_they_lack(name: str) -> None:
    model = MODELS[name]("none")
    with pytest.warns(UserWarning, match=r"no scalar multiplier in the .*rule 3"):
        initialize_(model, "fixup")
    factor = (2 * DEPTH) ** -0.5  # L^(-1/(2m-2)) of branches of two layers
    fans = {"q": WIDTH, "k": WIDTH, "v": WIDTH, "up": WIDTH}
    for kind, _, values in matrices(model).values():
        for rows in values.chunk(3) if kind == "in" else (values,):
            if kind in ("out", "down"):
                assert not rows.any()
            elif kind not in ("token", "position"):
                assert float(rows.std()) == pytest.approx(factor * math.sqrt(2 / fans.get(kind, WIDTH)), rel=NOISE)


def test_deepnorm_draws_post_norm_blocks_with_their_factor() -> None:
    model = Nano("post", (2 * DEPTH) ** 0.25)
    initialize_(model, "deepnorm")
    beta = (8 * DEPTH) ** -0.25
    for kind, _, values in matrices(model).values():
        for place, rows in enumerate(values.chunk(3) if kind == "in" else (values,)):
            steers = kind == "in" and place < 2
            expected = 1.0 if kind in ("token", "position") else xavier(rows) * (1 if steers else beta)
            assert float(rows.std()) == pytest.approx(expected, rel=NOISE)


@pytest.mark.parametrize(
    ("law", "build", "message"),
    [
        ("t_fixup", gpt2, r"a norm layer \(`transformer.h.0.ln_1.weight`\).*model.norm=none.*nn.Identity"),
        ("fixup", Nano, r"a norm layer \(`h.0.ln_1.weight`\).*model.norm=none.*nn.Identity"),
        ("deepnorm", lambda: Nano("post"), r"factors \[1.0\].*alpha = \(2N\)\^\(1/4\) = 1.565.*model.deepnorm=true"),
        ("deepnorm", lambda: Nano("pre", 6**0.25), r"a norm layer \(`h.0.ln_1.weight`\) inside a residual branch"),
        ("deepnorm", gpt2, r"a norm layer \(`transformer.h.0.ln_1.weight`\) inside a residual branch"),
    ],
)
def test_blocks_that_a_law_is_not_for_are_refused(law: str, build: Callable[[], nn.Module], message: str) -> None:
    model = build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ConfigError, match=message):
        initialize_(model, law)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_norms_without_parameters_are_norms() -> None:
    model = Nano("none")
    model.ln_f = nn.LayerNorm(WIDTH, elementwise_affine=False)
    with pytest.raises(ConfigError, match=r"a norm layer \(`ln_f`\)"):
        initialize_(model, "t_fixup")


def test_half_a_law_is_not_applied() -> None:
    """A convolution inside of a branch is neither attention nor an MLP."""

    class Convolved(Block):
        def __init__(self) -> None:
            super().__init__("none", 1.0)
            self.mix = nn.Conv1d(WIDTH, WIDTH, 3, padding=1)

        def mlp(self, x: Tensor) -> Tensor:
            return self.c_proj(F.gelu(self.c_fc(self.mix(x.transpose(1, 2)).transpose(1, 2))))

    model = Nano("none")
    model.h = nn.ModuleList(Convolved() for _ in range(DEPTH))
    with pytest.raises(ConfigError, match=r"neither of attention nor of an MLP: `h.0.c_fc.weight`.*init=xavier"):
        initialize_(model, "t_fixup")


class Unrecorded(Nano):
    """Its forward pass cannot be run on anything that is guessed."""

    def forward(self, index: Tensor) -> Tensor:
        raise RuntimeError("not here")


@pytest.mark.parametrize("law", ["gpt2", "zero_hadamard", "idinit", "zero_gamma"])
def test_without_a_recorded_pass_a_law_of_branches_says_so(law: str) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    model.forward = Unrecorded.forward.__get__(model)  # type: ignore[method-assign]
    if law in ("gpt2", "zero_gamma"):
        with pytest.raises(ConfigError, match=r"no forward pass of the model could be recorded.*example="):
            initialize_(model, law)
    else:
        with pytest.warns(UserWarning, match=r"no forward pass of the model could be recorded.*residual branches"):
            initialize_(model, law)


@pytest.mark.parametrize(("options", "warns"), [({"gain": "auto"}, True), ({"gain": 1.0}, False)])
def test_without_a_recorded_pass_a_law_of_nonlinearities_says_so(options: dict[str, Any], warns: bool) -> None:
    model = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))
    model.forward = Unrecorded.forward.__get__(model)  # type: ignore[method-assign]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        initialize_(model, "xavier", **options)
    assert any("what follows each layer is taken from the types" in str(each.message) for each in caught) is warns


@pytest.mark.parametrize("law", ["critical", "kumar", "isometric", "guideline", "random_walk"])
def test_laws_that_read_the_nonlinearity_declare_it(law: str) -> None:
    model = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))
    model.forward = Unrecorded.forward.__get__(model)  # type: ignore[method-assign]
    with pytest.warns(UserWarning, match="what follows each layer is taken from the types"):
        initialize_(model, law)


def test_asymmetric_draws_units_of_transposed_layers_with_their_biases() -> None:
    """At std 0 each unit has one number that is not 0, from Beta(2, 1): mean 2/3, variance 1/18."""
    model = gpt2()
    initialize_(model, "asymmetric", std=0.0)
    layer = model.get_submodule("transformer.h.1.attn.c_attn")
    rows = torch.cat([layer.weight.T, layer.bias[:, None]], 1).detach()  # type: ignore[union-attr, operator, index]
    assert torch.equal((rows != 0).sum(1), torch.ones(len(rows), dtype=torch.long))
    assert float(rows.sum(1).mean()) == pytest.approx(2 / 3, abs=5 * math.sqrt(1 / 18 / len(rows)))


def test_lr_factors_of_mup_follow_the_inputs_of_transposed_layers() -> None:
    factors = initialize_(gpt2(), "mup", base_width=32).attrs["lr_factors"]
    assert factors["transformer.h.0.mlp.c_proj.weight"] == 32 / (4 * WIDTH)
    assert factors["transformer.h.0.mlp.c_fc.weight"] == 32 / WIDTH


class Projected(nn.Module):
    """A block of a ResNet whose shortcut has weights where the width changes."""

    def __init__(self, inputs: int, outputs: int, norm: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(inputs, outputs, 3, 1, 1), nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.norm_1, self.norm_2 = (nn.BatchNorm2d(outputs) if norm else nn.Identity() for _ in range(2))
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm_2(self.last(F.relu(self.norm_1(self.first(x))))) + self.shortcut(x))


def resnet(norm: bool) -> nn.Module:
    widths = [32, 32, 32, 64, 64, 96, 96]
    blocks = [Projected(*pair, norm) for pair in itertools.pairwise(widths)]
    return nn.Sequential(nn.Conv2d(3, 32, 3, 1, 1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10))


def test_residual_laws_count_branches_beside_shortcuts_with_weights() -> None:
    model = resnet(norm=False)
    initialize_(model, "stable_resnet")
    blocks = [module for module in model if isinstance(module, Projected)]  # type: ignore[attr-defined]
    for block in blocks:
        for layer, share in ((block.first, 1), (block.last, 1 / len(blocks))):
            fan_in = 9 * layer.in_channels
            assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 * share / fan_in), rel=NOISE)
    for law in ("zero_hadamard", "zero_closing"):
        initialize_(model, law)
        assert not any(block.last.weight.any() for block in blocks)
        assert all(block.first.weight.any() for block in blocks)
    initialize_(model, "idinit")
    assert all(float(block.last.weight.detach().abs().max()) < 2e-6 for block in blocks)
    with pytest.warns(UserWarning, match="rule 3"):
        initialize_(model, "fixup")
    for block in blocks:
        std = math.sqrt(2 / (9 * block.first.in_channels)) / math.sqrt(len(blocks))
        assert float(block.first.weight.detach().std()) == pytest.approx(std, rel=NOISE)
        assert not block.last.weight.any()


def test_zero_gamma_zeroes_the_last_norm_beside_shortcuts_with_weights() -> None:
    model = resnet(norm=True)
    initialize_(model, "zero_gamma")
    for block in (module for module in model if isinstance(module, Projected)):  # type: ignore[attr-defined]
        assert not block.norm_2.weight.any()  # type: ignore[union-attr, operator]
        assert (block.norm_1.weight == 1).all()  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"`1.norm_2.weight`\) that ends a branch.*nn.Identity"):
        initialize_(model, "stable_resnet")
