"""Networks that people train as they are, with the start that their authors gave them: none of them is ill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from initsuite.activations import activation
from initsuite.data.torchvision_import import import_torchvision
from initsuite.models.cnn import Cnn
from initsuite.models.mlp import Mlp
from initsuite.models.recurrent import Rnn
from initsuite.models.resnet import ResNet
from initsuite.models.siren import Siren
from initsuite.models.transformer import Transformer
from initsuite.models.vit import Vit

TORCHVISION = {
    "resnet18": 64, "resnet50": 64, "resnext50_32x4d": 64, "wide_resnet50_2": 64, "vgg11_bn": 64, "densenet121": 64,
    "mobilenet_v2": 64, "mobilenet_v3_small": 64, "efficientnet_b0": 64, "shufflenet_v2_x1_0": 64, "mnasnet1_0": 64,
    "regnet_y_400mf": 64, "googlenet": 64, "convnext_tiny": 64, "swin_t": 64, "swin_v2_t": 64, "alexnet": 64,
}  # fmt: skip
"""Models with the side of their images; classes of 1,000."""
TIMM = {
    "deit_tiny_patch16_224": 224, "mixer_s32_224": 224, "resmlp_12_224": 224, "convnextv2_atto": 64,
    "edgenext_xx_small": 64, "poolformer_s12": 64, "mobilevitv2_050": 64, "cait_xxs24_224": 224,
    "xcit_nano_12_p16_224": 224, "levit_128s": 224, "repvgg_a0": 64, "ghostnet_050": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A network and what it is diagnosed on."""

    name: str
    make: Callable[[], nn.Module]
    example: Any
    options: dict[str, Any]


def healthy() -> Iterator[Case]:
    """Every case, in order."""
    generator = torch.Generator().manual_seed(0)

    def images(side: int, count: int = 4) -> Tensor:
        return torch.randn(count, 3, side, side, generator=generator)

    labels = torch.randint(0, 1000, (4,), generator=generator)
    models = import_torchvision().models
    for name, side in TORCHVISION.items():
        options = {"init_weights": True, "aux_logits": False} if name == "googlenet" else {}
        yield Case(name, partial(getattr(models, name), **options), (images(side), labels), {})
    yield Case("vit_b_16", partial(models.VisionTransformer, 224, 32, 12, 12, 768, 3072), (images(224), labels), {})
    import timm

    for name, side in TIMM.items():
        yield Case(f"timm {name}", partial(timm.create_model, name), (images(side), labels), {})
    yield from _language(generator)
    yield from _ours(generator)


def _language(generator: torch.Generator) -> Iterator[Case]:
    import transformers

    ids = torch.randint(0, 500, (4, 32), generator=generator)
    small = {"vocab_size": 500, "hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
    kinds = {
        "gpt2": (
            transformers.GPT2LMHeadModel,
            transformers.GPT2Config(vocab_size=500, n_embd=128, n_layer=4, n_head=4),
        ),
        "bert": (transformers.BertForMaskedLM, transformers.BertConfig(**small, intermediate_size=512)),
        "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig(**small, intermediate_size=256)),
        "opt": (transformers.OPTForCausalLM, transformers.OPTConfig(**small, ffn_dim=512, word_embed_proj_dim=128)),
    }
    for name, (kind, config) in kinds.items():
        example = {"input_ids": ids, **({"use_cache": False} if name != "bert" else {})}
        yield Case(f"transformers {name}", partial(kind, config), example, {"targets": ids, "output": "logits"})


def _ours(generator: torch.Generator) -> Iterator[Case]:
    def given(*shape: int) -> tuple[Tensor, Tensor]:
        return torch.randn(shape, generator=generator), torch.randint(0, 10, (shape[0],), generator=generator)

    relu, tanh, gelu = activation("relu"), activation("tanh"), activation("gelu")
    for depth in (2, 8, 30):
        yield Case(f"mlp {depth} relu", partial(Mlp, (64,), 10, relu, depth=depth), given(64, 64), {"init": "he"})
    yield Case("mlp 30 tanh", partial(Mlp, (64,), 10, tanh, depth=30), given(64, 64), {"init": "orthogonal_auto"})
    yield Case("mlp 8 gelu", partial(Mlp, (64,), 10, gelu, depth=8), given(64, 64), {"init": "critical"})
    yield Case("cnn", partial(Cnn, (1, 16, 16), 10, relu), given(32, 1, 16, 16), {"init": "he"})
    yield Case("resnet", partial(ResNet, (3, 16, 16), 10, relu), given(32, 3, 16, 16), {"init": "he"})
    yield Case("rnn", partial(Rnn, (16, 8), 10, tanh), given(32, 16, 8), {"init": "orthogonal"})
    yield Case("vit", partial(Vit, (3, 16, 16), 10, gelu), given(32, 3, 16, 16), {"init": "xavier"})
    ids = torch.randint(0, 65, (16, 32), generator=generator)
    yield Case("transformer", partial(Transformer, (32,), 65, gelu), (ids, ids), {"init": "gpt2"})
    sine = activation("sine")
    yield Case(
        "siren", partial(Siren, (2,), 1, sine), torch.rand(64, 2, generator=generator) * 2 - 1, {"init": "siren"}
    )
