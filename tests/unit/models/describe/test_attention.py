"""Query, key, value, what follows attention, two-layer networks and adapters, from a recorded pass."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from initsuite.activations import activation
from initsuite.models import Vit
from support.recorded import Net, seen

Mix = Callable[[Tensor, Tensor, Tensor], Tensor]


def by_hand(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return scores.masked_fill(~mask, -math.inf).softmax(-1) @ value


def keys_first(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (key @ query.transpose(-2, -1)).softmax(-2).transpose(-2, -1) @ value


def soft_capped(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = 50 * torch.tanh(torch.einsum("bhid,bhjd->bhij", query, key) / 50)
    return torch.einsum("bhij,bhjd->bhid", scores.softmax(-1), value)


MIXES: dict[str, Mix] = {
    "fused": scaled_dot_product_attention,
    "by hand": by_hand,
    "keys first": keys_first,
    "einsum": soft_capped,
}


def split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def rotated(x: Tensor) -> Tensor:
    """Rotary positions."""
    angle = torch.arange(x.shape[-2])[:, None] * torch.ones(x.shape[-1])
    first, second = x.chunk(2, -1)
    return x * angle.cos() + torch.cat((-second, first), -1) * angle.sin()


def grouped(mix: Mix) -> Net:
    """A pre-norm block, three query heads for each of two keys, rotary positions; a gated two-layer network."""

    def forward(net: Net, x: Tensor) -> Tensor:
        normal = net.norm1(x)
        query, key = net.qnorm(split(net.a(normal), 6)), split(net.b(normal), 2)
        key, value = (each.repeat_interleave(3, 1) for each in (key, split(net.c(normal), 2)))
        x = x + net.d(joined(mix(rotated(query), rotated(key), value)))
        normal = net.norm2(x)
        return net.head(x + net.g(net.e(normal).sigmoid() * net.f(normal)))

    linear = {name: nn.Linear(*size) for name, size in {
        "a": (24, 24), "b": (24, 8), "c": (24, 8), "d": (24, 24), "e": (24, 40), "f": (24, 40), "g": (40, 24),
        "head": (24, 5),
    }.items()}  # fmt: skip
    return Net(forward, norm1=nn.LayerNorm(24), norm2=nn.LayerNorm(24), qnorm=nn.LayerNorm(4), **linear)


@pytest.mark.parametrize("name", MIXES)
def test_grouped_queries_with_rotary_positions(name: str) -> None:
    got = seen(grouped(MIXES[name]), torch.ones(2, 5, 24))
    expected = {"a": "query", "b": "key", "c": "value", "d": "attention_out", "e": "mlp", "f": "mlp", "g": "mlp"}
    assert got.parts == {layer: [part] for layer, part in expected.items()}
    assert (got.branches, got.closing) == ([["a", "b", "c", "d"], ["e", "f", "g"]], [["d"], ["g"]])
    assert got.heads == ["head"]


def packed(order: str) -> Net:
    """One layer for all three, of unequal sizes: query 24, key 8, value 16."""

    def forward(net: Net, x: Tensor) -> Tensor:
        sizes = {"query": 24, "key": 24, "value": 16}
        names = {"q": "query", "k": "key", "v": "value"}
        pieces = dict(zip(order, net.all(x).split([sizes[names[each]] for each in order], -1), strict=True))
        mixed = by_hand(*(split(pieces[each], 4) for each in "qkv"))
        return x + net.out(joined(mixed))

    return Net(forward, all=nn.Linear(12, 64), out=nn.Linear(16, 12))


@pytest.mark.parametrize("order", ["qkv", "vkq", "kvq"])
def test_the_pieces_of_a_packed_layer_in_any_order(order: str) -> None:
    got = seen(packed(order), torch.ones(2, 5, 12))
    assert got.parts == {"all": ["query", "key", "value"], "out": ["attention_out"]}
    widths = {part: shape[-1] for part, shape in got.pieces["all"].items()}
    assert widths == {"query": 24, "key": 24, "value": 16}


def test_cross_attention_with_packed_keys_and_values() -> None:
    def forward(net: Net, x: Tensor, memory: Tensor) -> Tensor:
        memory = net.encoder(memory).relu()
        for block in net.blocks:
            query, (key, value) = block["q"](block["norm"](x)), block["kv"](memory).chunk(2, -1)
            x = x + block["o"](scaled_dot_product_attention(query, key, value))
        return x

    def block() -> nn.ModuleDict:
        sizes = {"q": (8, 8), "kv": (6, 16), "o": (8, 8)}
        return nn.ModuleDict({name: nn.Linear(*size) for name, size in sizes.items()} | {"norm": nn.LayerNorm(8)})

    net = Net(forward, encoder=nn.Linear(4, 6), blocks=nn.ModuleList([block(), block()]))
    got = seen(net, torch.ones(2, 5, 8), torch.ones(2, 7, 4))
    expected = {"q": ["query"], "kv": ["key", "value"], "o": ["attention_out"]}
    assert got.parts == {f"blocks.{number}.{name}": parts for number in (0, 1) for name, parts in expected.items()}
    # what only feeds a branch is part of it; the encoder feeds two
    assert got.branches == [[f"blocks.{number}.{name}" for name in ("q", "kv", "o")] for number in (0, 1)]


def test_a_two_layer_network_beside_attention() -> None:
    def forward(net: Net, x: Tensor) -> Tensor:
        normal = net.norm(x)
        mixed = scaled_dot_product_attention(net.q(normal), net.k(normal), net.v(normal))
        return net.head(net.o(mixed) + net.down(net.up(normal).relu()) + x)

    sizes = {"q": (8, 8), "k": (8, 8), "v": (8, 8), "o": (8, 8), "up": (8, 20), "down": (20, 8), "head": (8, 3)}
    net = Net(forward, norm=nn.LayerNorm(8), **{name: nn.Linear(*size) for name, size in sizes.items()})
    got = seen(net, torch.ones(2, 5, 8))
    assert {layer for layer, parts in got.parts.items() if parts == ["mlp"]} == {"up", "down"}
    assert got.closing == [["o", "down"]]


def test_attention_without_layers_before_or_after_it() -> None:
    def forward(net: Net, x: Tensor) -> Tensor:
        x = net.stem(x)
        x = x + scaled_dot_product_attention(net.norm(x), net.norm(x), net.v(x))
        return net.head((x + net.down(net.up(x).relu())).mean(1))

    sizes = {"stem": (8, 8), "v": (8, 8), "up": (8, 20), "down": (20, 8), "head": (8, 3)}
    net = Net(forward, norm=nn.LayerNorm(8), **{name: nn.Linear(*size) for name, size in sizes.items()})
    assert seen(net, torch.ones(2, 5, 8)).parts == {"v": ["value"], "up": ["mlp"], "down": ["mlp"]}


def test_a_softmax_that_weighs_no_values_is_no_attention() -> None:
    def forward(net: Net, x: Tensor) -> Tensor:
        return x + net.two(net.one(x).relu().softmax(-1) * net.one(x))

    assert seen(Net(forward, one=nn.Linear(8, 8), two=nn.Linear(8, 8)), torch.ones(2, 8)).parts == {}


def test_the_suites_vit_and_torchs_layers() -> None:
    vit = seen(Vit((3, 8, 8), 3, activation("relu"), depth=1, width=8, heads=2), torch.ones(2, 3, 8, 8))
    assert list(vit.parts.values()) == [["query", "key", "value"], ["attention_out"], ["mlp"], ["mlp"]]
    decoder = seen(nn.TransformerDecoderLayer(8, 2, 16), torch.ones(5, 2, 8), torch.ones(6, 2, 8)).parts
    assert decoder["self_attn.in_proj_weight"] == ["query", "key", "value"]
    assert decoder["multihead_attn.out_proj"] == ["attention_out"]
    assert decoder["linear1"] == decoder["linear2"] == ["mlp"]


class Adapted(nn.Module):
    """A layer with a low-rank adapter."""

    def __init__(self, base: nn.Module, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.base, self.first, self.second = base, first, second

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.second(self.first(x)) * 2.0


KINDS = {
    "linear": (nn.Linear(8, 8), nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False)),
    "convolution": (nn.Conv1d(8, 8, 1), nn.Conv1d(8, 2, 1, bias=False), nn.Conv1d(2, 8, 1, bias=False)),
    "embedding": (nn.Embedding(9, 8), nn.Embedding(9, 2), nn.Linear(2, 8, bias=False)),
}


@pytest.mark.parametrize("name", KINDS)
def test_adapters(name: str) -> None:
    net = Net(lambda net, x: net.head(net.layer(x)), layer=Adapted(*KINDS[name]), head=nn.Linear(8, 3))
    x = torch.zeros(2, 8, dtype=torch.long) if name == "embedding" else torch.ones(2, 8, 8)
    got = seen(net, x)
    assert got.adapters == [("layer.first", "layer.second")]
    assert got.parts == {"layer.first": ["lora_a"], "layer.second": ["lora_b"]}
    assert (got.branches, got.heads) == ([], ["head"])


def test_an_adapter_in_a_branch_does_not_close_it() -> None:
    def adapted() -> Adapted:
        return Adapted(nn.Linear(8, 8), nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False))

    net = Net(
        lambda net, x: net.head(x + net.two(net.one(x).relu())), one=adapted(), two=adapted(), head=nn.Linear(8, 3)
    )
    got = seen(net, torch.ones(2, 8))
    assert (got.branches, got.closing) == ([["one.base", "two.base"]], [["two.base"]])
    assert got.adapters == [("one.first", "one.second"), ("two.first", "two.second")]


NO_ADAPTERS = {
    "nonlinear": lambda net, x: net.base(x) + net.second(net.first(x).relu()),
    "another input": lambda net, x: net.base(x.tanh()) + net.second(net.first(x)),
    "wide": lambda net, x: net.base(x) + net.up(net.base(x)),
}


@pytest.mark.parametrize("name", NO_ADAPTERS)
def test_other_sums_are_no_adapters(name: str) -> None:
    sizes = {"base": (8, 8), "first": (8, 2), "second": (2, 8), "up": (8, 8)}
    net = Net(NO_ADAPTERS[name], **{name: nn.Linear(*size) for name, size in sizes.items()})
    assert seen(net, torch.ones(2, 8)).adapters == []
