"""Models as people write them: the group of `support.architectures` that needs no library but torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from support.architectures.modules import (
    ActorCritic,
    Equalised,
    Kan,
    Lora,
    Mixed,
    Recurrent,
    ResNet,
    Reused,
    Siren,
    Standardised,
    TiedAutoencoder,
    Transposed,
    UNet,
    Unfolded,
)
from support.architectures.sequences import (
    Attention,
    Experts,
    Glu,
    Latents,
    Mamba,
    NanoGpt,
    gelu_new,
)
from support.truth import Architecture, parts, repeating

generator = torch.Generator().manual_seed(0)
PICTURES = torch.randn(4, 3, 16, 16, generator=generator)
ROWS = torch.randn(32, 64, generator=generator)
SEQUENCE = torch.randn(4, 16, 64, generator=generator)
TOKENS = torch.randint(0, 96, (4, 16), generator=generator)


def mlp(*activations: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [64, 96, 48, 72, 56, 80][: len(activations) + 1]
            self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(widths, [*widths[1:], 10], strict=True))

        def forward(self, x: Tensor) -> Tensor:
            for layer, phi in zip(self.layers, activations, strict=False):
                x = phi(layer(x))
            return self.layers[-1](x)

    return Mlp


def mobile() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6(),
        nn.Conv2d(32, 32, 3, 1, 1, groups=32, bias=False), nn.BatchNorm2d(32), nn.ReLU6(),
        nn.Conv2d(32, 64, 1, bias=False), nn.BatchNorm2d(64), nn.Hardswish(),
        nn.Conv2d(64, 32, 3, 2, 1, groups=4), nn.GroupNorm(4, 32), nn.SELU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


def standardised() -> nn.Module:
    return nn.Sequential(
        Standardised(3, 24, 3, padding=1), nn.GroupNorm(4, 24), nn.ReLU(), Standardised(24, 32, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


def decoder() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 32 * 4 * 4), nn.ReLU(), nn.Unflatten(1, (32, 4, 4)),
        nn.ConvTranspose2d(32, 24, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(24, 16, 3, 2, 1, groups=2), nn.Softplus(),
        nn.Conv2d(16, 3, 3, padding=1), nn.Tanh(),
    )  # fmt: skip


def normed(norm: Callable[[nn.Module], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(
        norm(nn.Linear(64, 96)), nn.ReLU(), norm(nn.Linear(96, 48, bias=False)), nn.Tanh(), nn.Linear(48, 10)
    )


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(48, 4, 96, activation="gelu", batch_first=True)
    return nn.Sequential(
        nn.Linear(64, 48), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(48, 5)
    )


GATES4, GATES3 = {"_l0": parts(4), "_l1": parts(4), "_reverse": parts(4)}, {"_l0": parts(3), "_l1": parts(3)}
ACTIVATIONS = {
    "mlp with usual activations": (F.relu, F.tanh, F.gelu, F.silu, F.softplus),
    "mlp with activations by hand": (
        gelu_new, lambda x: F.relu(x).square(), lambda x: x * torch.sigmoid(1.702 * x),
        lambda x: x * torch.tanh(F.softplus(x)), lambda x: torch.where(x > 0, x, 0.1 * x),
    ),
    "mlp with rare activations": (
        lambda x: 1.7159 * torch.tanh(2 / 3 * x), lambda x: x.clamp(min=0), lambda x: x + torch.sin(x) ** 2,
        lambda x: torch.tanh(x) * torch.sigmoid(x), lambda x: torch.exp(-(x**2)),
    ),
}  # fmt: skip
BY_HAND: dict[str, Architecture] = {
    **{name: Architecture(mlp(*functions), (ROWS,)) for name, functions in ACTIVATIONS.items()},
    "nanogpt": Architecture(NanoGpt, (TOKENS,), packed={"c_attn.weight": parts(3)}),
    "kan": Architecture(lambda: nn.Sequential(Kan(64, 48), Kan(48, 10)), (ROWS,)),
    "experts by einsum": Architecture(Experts, (ROWS,), packed={"w1": parts(4)}),
    "equalised learning rate": Architecture(
        lambda: nn.Sequential(Equalised(64, 96), nn.LeakyReLU(0.2), Equalised(96, 48), nn.ReLU(), Equalised(48, 10)),
        (ROWS,),
    ),
    "weight standardisation": Architecture(standardised, (PICTURES,)),
    "weight norm": Architecture(normed(parametrizations.weight_norm), (ROWS,)),
    "weight norm by hook": Architecture(normed(torch.nn.utils.weight_norm), (ROWS,)),
    "spectral norm": Architecture(normed(parametrizations.spectral_norm), (ROWS,)),
    "transposed layout": Architecture(
        lambda: nn.Sequential(Transposed(64, 96), nn.GELU(), Transposed(96, 40), nn.ReLU(), Transposed(40, 10)),
        (ROWS,),
    ),
    "gated mlp": Architecture(lambda: Glu("apart"), (ROWS,)),
    "gated mlp packed": Architecture(lambda: Glu("packed"), (ROWS,), packed={"gate_up.weight": parts(2)}),
    "gated mlp by glu": Architecture(lambda: Glu("glu"), (ROWS,), packed={"gate_up.weight": parts(2)}),
    "grouped queries": Architecture(lambda: Attention("apart"), (SEQUENCE,)),
    "grouped queries packed": Architecture(
        lambda: Attention("packed"), (SEQUENCE,), packed={"mixed.weight": parts(64, 16, 16)}
    ),
    "queries interleaved": Architecture(
        lambda: Attention("interleaved"), (SEQUENCE,), packed={"mixed.weight": repeating(8, 8, 8)}
    ),
    "resnet": Architecture(ResNet, (PICTURES,)),
    "unet": Architecture(UNet, (PICTURES,)),
    "rnn": Architecture(lambda: Recurrent(nn.RNN, num_layers=2), (TOKENS,)),
    "lstm": Architecture(lambda: Recurrent(nn.LSTM, num_layers=2, bidirectional=True), (TOKENS,), packed=GATES4),
    "gru": Architecture(lambda: Recurrent(nn.GRU, num_layers=2), (TOKENS,), packed=GATES3),
    "actor and critic": Architecture(ActorCritic, (ROWS,)),
    "mamba by hand": Architecture(
        Mamba, (SEQUENCE,), packed={"in_proj.weight": parts(2), "x_proj.weight": parts(4, 8, 8)}
    ),
    "lora": Architecture(
        lambda: nn.Sequential(Lora(64, 96, is_merged=False), nn.ReLU(), Lora(96, 10, is_merged=False)), (ROWS,)
    ),
    "lora merged": Architecture(
        lambda: nn.Sequential(Lora(64, 96, is_merged=True), nn.ReLU(), Lora(96, 10, is_merged=True)), (ROWS,)
    ),
    "siren": Architecture(Siren, (ROWS,)),
    "reused layer": Architecture(Reused, (ROWS,)),
    "convolution by unfold": Architecture(Unfolded, (PICTURES,), options={"example": PICTURES}),
    "autoencoder with tied weights": Architecture(TiedAutoencoder, (ROWS,)),
    "cross attention to latents": Architecture(Latents, (SEQUENCE,), packed={"in_proj_weight": parts(3)}),
    "mixed modules": Architecture(Mixed, (TOKENS,), packed={"cell.weight_ih": parts(3)}, options={"example": TOKENS}),
    "mobile convolutions": Architecture(mobile, (PICTURES,)),
    "transposed convolutions": Architecture(decoder, (ROWS,)),
    "torch transformer": Architecture(transformer, (SEQUENCE,), packed={"in_proj_weight": parts(3)}),
}
