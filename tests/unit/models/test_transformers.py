"""Attention, blocks, the vision transformer and the causal one, against torch's own layers."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.models import Transformer, Vit
from initsuite.models.attention import Attention, BlockOptions, PartEmbedding, transformer_blocks
from initsuite.models.branch import Branch, Residual
from initsuite.models.recurrent import GatedLinear

REORDERED = 1e-9
"""Relative and absolute: float64 sums in another order, 1e-16 a term, over tens of terms and layers."""
GELU = activation("gelu")
IMAGE = (3, 8, 12)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def copy(target: Tensor, source: Tensor | None) -> None:
    assert source is not None
    with torch.no_grad():
        target.copy_(source)


def fill(theirs: nn.MultiheadAttention, ours: Attention) -> None:
    """The weights of our attention in torch's, with biases drawn first (torch starts them at 0)."""
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(noise(*parameter.shape))
    copy(theirs.in_proj_weight, ours.qkv.weight)
    copy(theirs.in_proj_bias, ours.qkv.bias)
    copy(theirs.out_proj.weight, ours.out.weight)
    copy(theirs.out_proj.bias, ours.out.bias)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("heads", [1, 2, 6])
def test_attention_is_torchs_own(heads: int, is_causal: bool) -> None:
    ours = Attention(12, heads, is_causal=is_causal).double()
    theirs = nn.MultiheadAttention(12, heads, batch_first=True, dtype=torch.float64)
    fill(theirs, ours)
    tokens = noise(4, 7, 12)
    mask = torch.ones(7, 7).triu(1).bool() if is_causal else None
    expected, _ = theirs(tokens, tokens, tokens, attn_mask=mask)
    torch.testing.assert_close(ours(tokens), expected, rtol=REORDERED, atol=REORDERED)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_block_is_torchs_own(norm: str) -> None:
    options = BlockOptions("Vit", 1, 12, 3, 2, norm, deepnorm=False, branch_scale=False, is_causal=False)
    ours: Any = transformer_blocks(options, GELU).double()
    theirs: Any = nn.TransformerEncoderLayer(
        12, 3, 24, dropout=0, activation="gelu", batch_first=True, norm_first=norm == "pre", dtype=torch.float64
    )
    fill(theirs.self_attn, ours.attention1.branch.attention)
    for name in ("linear1", "linear2"):
        for local, parameter in getattr(theirs, name).named_parameters():
            copy(parameter, getattr(getattr(ours.mlp1.branch, name), local))
    norms = [module for module in ours.modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) == (3 if norm == "pre" else 2)  # pre: one more after the last block
    for parameter in (parameter for layer in (*norms, theirs.norm1, theirs.norm2) for parameter in layer.parameters()):
        copy(parameter, noise(12))
    tokens = noise(4, 7, 12)
    expected = theirs(tokens) if norm == "post" else norms[-1](theirs(tokens))
    torch.testing.assert_close(ours(tokens), expected, rtol=REORDERED, atol=REORDERED)


@pytest.mark.parametrize(("depth", "alpha"), [(2, 4**0.25), (8, 2.0), (4, 8**0.25)])
def test_deepnorm_multiplies_the_shortcuts(depth: int, alpha: float) -> None:
    """(2N)^(1/4) with N blocks, for encoder-only and decoder-only nets alike (Wang et al. 2022, table 1)."""
    options = BlockOptions("Vit", depth, 8, 2, 2, "post", deepnorm=True, branch_scale=False, is_causal=False)
    blocks = transformer_blocks(options, GELU).double()
    residuals = [module for module in blocks if isinstance(module, Residual)]
    assert len(residuals) == 2 * depth
    tokens = noise(3, 5, 8)
    for residual in residuals:
        kept = residual(tokens) - residual.branch(tokens)
        torch.testing.assert_close(kept, alpha * tokens, rtol=REORDERED, atol=REORDERED)
    plain = transformer_blocks(BlockOptions("Vit", depth, 8, 2, 2, "post", False, False, False), GELU)
    assert all(module.alpha == 1 for module in plain if isinstance(module, Residual))


def test_sub_has_a_norm_before_the_last_layer_of_each_branch() -> None:
    model: Any = Transformer((9,), 11, GELU, depth=1, width=8, norm="sub").double()
    tokens = torch.randn(2, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    attention, mlp = model.blocks.attention1.branch.attention, model.blocks.mlp1.branch
    attention.norm.bias.data.normal_(generator=torch.Generator().manual_seed(1))
    attention.out.weight.data.zero_()
    attention.out.weight.data.fill_diagonal_(1.0)
    attention.out.bias.data.zero_()
    shifted = attention(tokens) - attention.norm.bias
    torch.testing.assert_close(shifted.mean(-1), torch.zeros(2, 9, dtype=torch.float64))
    torch.testing.assert_close(shifted.var(-1, correction=0), torch.ones(2, 9, dtype=torch.float64), rtol=1e-2, atol=0)
    assert [type(layer).__name__ for layer in mlp] == [
        "LayerNorm",
        "GatedLinear",
        "ActivationLayer",
        "LayerNorm",
        "GatedLinear",
    ]
    assert mlp.norm2.normalized_shape == (32,)


@pytest.mark.parametrize("norm", ["pre", "sub", "post", "none"])
def test_the_future_does_not_change_the_past(norm: str) -> None:
    model = Transformer((9,), 11, GELU, depth=3, width=8, norm=norm).double()
    tokens = torch.randint(11, (4, 9), generator=torch.Generator().manual_seed(0))
    scores = model(tokens)
    assert scores.shape == (4, 9, 11)
    for time in (0, 3, 7):
        changed = tokens.clone()
        changed[:, time + 1 :] = (changed[:, time + 1 :] + 1) % 11
        after = model(changed)
        torch.testing.assert_close(after[:, : time + 1], scores[:, : time + 1], rtol=REORDERED, atol=REORDERED)
        assert not torch.isclose(after[:, time + 1 :], scores[:, time + 1 :]).all(-1).any()
        shorter = model(tokens[:, : time + 1])  # nor does its absence
        torch.testing.assert_close(shorter, scores[:, : time + 1], rtol=REORDERED, atol=REORDERED)


def test_the_past_changes_the_future() -> None:
    model = Transformer((9,), 11, GELU, width=8).double()
    tokens = torch.randint(11, (4, 9), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 0] = (changed[:, 0] + 1) % 11
    assert not torch.isclose(model(changed), model(tokens)).all(-1).any()


def test_positions_distinguish_equal_tokens() -> None:
    model = Transformer((5,), 11, GELU, width=8).double()
    scores = model(torch.zeros(1, 5, dtype=torch.long))
    assert not torch.allclose(scores[0, 0], scores[0, 4])


def test_an_image_is_cut_into_patches() -> None:
    """Without blocks or positions the head sees the mean over the patches of a linear map of each."""
    model: Any = Vit(IMAGE, 10, GELU, depth=1, width=8, patch_size=4, norm="none").double()
    with torch.no_grad():
        model.position.weight.zero_()
        model.blocks.attention1.branch.attention.out.weight.zero_()
        model.blocks.attention1.branch.attention.out.bias.zero_()
        model.blocks.mlp1.branch.linear2.weight.zero_()
        model.blocks.mlp1.branch.linear2.bias.zero_()
    images = noise(2, *IMAGE)
    patches = [images[:, :, row : row + 4, column : column + 4] for row in (0, 4) for column in (0, 4, 8)]
    weight = model.patch.weight.flatten(1)
    tokens = torch.stack([patch.flatten(1) @ weight.T + model.patch.bias for patch in patches], 1)
    assert model.position.num_embeddings == 6
    expected = model.head(tokens.mean(1))
    torch.testing.assert_close(model(images), expected, rtol=REORDERED, atol=REORDERED)


def test_the_head_reads_the_class_token() -> None:
    """With closed branches that is all it sees: the token with its position, whatever the image."""
    model: Any = Vit(IMAGE, 10, GELU, depth=1, width=8, norm="none", pool="class", branch_scale=True).double()
    assert model.position.num_embeddings == 7
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("branch_scale"):
                parameter.zero_()
    expected = model.head(model.class_token.weight[0] + model.position.weight[0]).expand(2, -1)
    torch.testing.assert_close(model(noise(2, *IMAGE)), expected, rtol=REORDERED, atol=REORDERED)


@pytest.mark.parametrize(
    ("model", "label"),
    [
        (Vit(IMAGE, 10, GELU), "vit-4x64"),
        (Vit(IMAGE, 10, GELU, depth=2, width=48, heads=3, patch_size=2), "vit-2x48-p2-h3"),
        (Vit(IMAGE, 10, GELU, norm="post", mlp_ratio=2, pool="class"), "vit-4x64-m2-post-class"),
        (Vit(IMAGE, 10, GELU, norm="post", deepnorm=True), "vit-4x64-deepnorm"),
        (Vit(IMAGE, 10, GELU, norm="sub"), "vit-4x64-sub"),
        (Vit(IMAGE, 10, GELU, norm="none", branch_scale=True), "vit-4x64-nonorm-scaled"),
        (Vit(IMAGE, 10, GELU, pool="class", scale_tokens=True), "vit-4x64-class-sqrtd"),
        (Transformer((6,), 10, GELU, scale_tokens=True), "transformer-2x64-sqrtd"),
        (Transformer((6,), 10, GELU), "transformer-2x64"),
        (Transformer((6,), 10, GELU, depth=3, norm="post"), "transformer-3x64-post"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_they_have_a_label(model: Any, label: str) -> None:
    assert model.label == label


@pytest.mark.parametrize(
    ("kind", "shape", "options", "table"),
    [(Transformer, (6,), {}, "token"), (Vit, IMAGE, {"pool": "class"}, "class_token")],
)
def test_scaled_tokens_are_larger_tokens(kind: Any, shape: Any, options: dict[str, Any], table: str) -> None:
    """By sqrt(width) = 4, and nothing else is: the same as a plain model with larger vectors."""
    plain, scaled = (kind(shape, 10, GELU, width=16, depth=1, scale_tokens=on, **options) for on in (False, True))
    scaled.load_state_dict(plain.state_dict())
    inputs = torch.arange(12).view(2, 6) % 10 if kind is Transformer else torch.rand(2, *shape)
    before = plain(inputs)
    with torch.no_grad():
        plain.get_submodule(table).weight *= 4
    torch.testing.assert_close(scaled(inputs), plain(inputs))
    assert not torch.allclose(scaled(inputs), before)


def test_matrices_say_what_they_are_for() -> None:
    model = Vit(IMAGE, 10, GELU, depth=1, width=8, pool="class")
    parts = {name: module.parts for name, module in model.named_modules() if isinstance(module, GatedLinear)}
    assert parts == {
        "blocks.attention1.branch.attention.qkv": ("query", "key", "value"),
        "blocks.attention1.branch.attention.out": ("attention_out",),
        "blocks.mlp1.branch.linear1": ("mlp",),
        "blocks.mlp1.branch.linear2": ("mlp",),
    }
    assert not any(module.is_recurrent for module in model.modules() if isinstance(module, GatedLinear))
    tables = {name: module.parts for name, module in model.named_modules() if isinstance(module, PartEmbedding)}
    assert tables == {"class_token": ("token",), "position": ("position",)}
    assert sum(isinstance(module, Branch) for module in model.modules()) == 2


def test_only_branch_scales_are_bare_parameters() -> None:
    model = Vit(IMAGE, 10, GELU, depth=2, width=8, pool="class", branch_scale=True)
    layers = (nn.Linear, nn.Conv2d, nn.Embedding, nn.LayerNorm)
    bare = [
        f"{name}.{local}"
        for name, module in model.named_modules()
        for local, _ in module.named_parameters(recurse=False)
        if not isinstance(module, layers)
    ]
    assert bare == [f"blocks.{kind}{number}.branch_scale" for number in (1, 2) for kind in ("attention", "mlp")]


@pytest.mark.parametrize("kind", [Vit, Transformer])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "`depth`=0. Expected a whole number from 1"),
        ({"heads": 0}, "`heads`=0. Expected a whole number from 1"),
        ({"mlp_ratio": 1.5}, "`mlp_ratio`=1.5. Expected a whole number from 1"),
        ({"width": 30}, "`width`=30. Expected a multiple of the 4 heads.*Set model.heads"),
        ({"norm": "layer"}, "`norm`='layer'. Expected one of: pre, sub, post, none"),
        ({"deepnorm": 1}, "`deepnorm`=1. Expected true or false"),
        ({"branch_scale": "no"}, "`branch_scale`='no'. Expected true or false"),
        ({"scale_tokens": 1}, "`scale_tokens`=1. Expected true or false"),
        ({"deepnorm": True}, "`norm`='pre'. Expected post, where deepnorm is.*Set model.norm=post"),
    ],
    ids=str,
)
def test_they_refuse(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"{kind.__name__}: .*{message}"):
        kind(IMAGE if kind is Vit else (6,), 10, GELU, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 3}, "`patch_size`=3. Expected a divisor of the 8x12 pixels"),
        ({"patch_size": 0}, "`patch_size`=0. Expected a whole number from 1"),
        ({"pool": "max"}, "`pool`='max'. Expected one of: mean, class"),
    ],
    ids=str,
)
def test_a_vit_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"Vit: .*{message}"):
        Vit(IMAGE, 10, GELU, **options)


def test_they_refuse_other_inputs() -> None:
    with pytest.raises(ConfigError, match=r"Vit: .*Expected \[channel, height, width\]. Use model=mlp"):
        Vit((64,), 10, GELU)
    with pytest.raises(ConfigError, match=r"Transformer: .*Expected \[time\]. Use a data set of text; model=vit"):
        Transformer(IMAGE, 10, GELU)
