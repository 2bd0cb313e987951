"""LSUV and data-dependent laws on language models: tokens as inputs, transposed layouts, layers inside of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initsuite import initialize_
from initsuite.data.torchvision_import import import_torchvision
from initsuite.spec import Probe

import_torchvision()  # before transformers, which imports it

TOKENS = torch.randint(0, 96, (4, 16), generator=torch.Generator().manual_seed(0))
VECTORS = torch.randn(4, 16, 64, generator=torch.Generator().manual_seed(0))
TOLERANCE = 0.1
"""Of the variance, where a layer feeds on itself; that of LSUV."""
IDS: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(n_layer=2, n_head=4, n_embd=64, vocab_size=96, n_positions=32, **IDS))


def llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 96}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads, max_position_embeddings=32, **IDS))


def bert() -> nn.Module:
    from transformers import BertConfig, BertForMaskedLM

    sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    return BertForMaskedLM(BertConfig(**sizes, num_attention_heads=4, vocab_size=96, max_position_embeddings=32))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(64, 4, 96, activation="gelu", batch_first=True)
    return nn.TransformerEncoder(layer, 2)


class Bare(nn.Module):
    """Products with weights that no module holds."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.randn(96, 64)), nn.Parameter(torch.randn(96, 10))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.first).relu() @ self.second


def logits(outputs: Any) -> Tensor:
    return outputs if isinstance(outputs, Tensor) else outputs.logits


def probe(inputs: Tensor) -> Probe:
    return Probe(
        inputs, TOKENS, lambda outputs, targets: F.cross_entropy(logits(outputs).flatten(0, 1), targets.flatten())
    )


def products(model: nn.Module, inputs: Tensor) -> list[float]:
    """The variance of what each linear layer and each product with a bare weight makes, as torch's functions see it."""
    found = []

    class Listening(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            output = func(*args, **(kwargs or {}))
            is_product = func in (F.linear, torch.addmm, Tensor.matmul)
            if is_product and any(each is parameter for each in args for parameter in parameters):
                found.append(float(output.detach().var(correction=0)))
            return output

    parameters = list(model.parameters())
    with torch.no_grad(), Listening():
        model.eval()(inputs)
    return found


@pytest.mark.parametrize(("build", "inputs"), [(gpt2, TOKENS), (llama, TOKENS), (bert, TOKENS), (Bare, VECTORS)])
def test_lsuv_gives_every_layer_of_a_language_model_unit_variance(
    build: Callable[[], nn.Module], inputs: Tensor
) -> None:
    model = build()
    initialize_(model, "lsuv", probe=probe(inputs))
    variances = products(model, inputs)
    assert len(variances) >= 2
    assert variances == pytest.approx([1.0] * len(variances), abs=TOLERANCE)


def test_lsuv_measures_packed_attention_inside_of_its_module() -> None:
    model = encoder()
    initialize_(model, "lsuv", probe=probe(VECTORS))
    x = VECTORS
    for layer in model.eval().layers:  # type: ignore[union-attr, operator]
        attention = layer.self_attn  # type: ignore[union-attr]
        made = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)  # type: ignore[arg-type, union-attr]
        assert float(made.detach().var(correction=0)) == pytest.approx(1.0, abs=TOLERANCE)
        x = layer(x)  # type: ignore[operator]


def test_channels_of_a_transposed_weight_are_its_columns() -> None:
    model = gpt2()
    initialize_(model, "data_dependent", probe=probe(TOKENS), steps=0)
    outputs: list[Tensor] = []
    for name, module in model.named_modules():
        if name.endswith("c_fc"):
            module.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    with torch.no_grad():
        model.eval()(TOKENS)
    for output in outputs:
        flat = output.flatten(0, 1)
        torch.testing.assert_close(flat.mean(0), torch.full((256,), 0.1), atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(flat.var(0, correction=0), torch.ones(256), atol=TOLERANCE, rtol=0)
