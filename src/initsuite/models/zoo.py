"""The classification models of torchvision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.dropout import _DropoutNd

from initsuite import rng
from initsuite.data.torchvision_import import import_torchvision
from initsuite.errors import ConfigError, bad_value, check_whole_number
from initsuite.models.options import check_choice, check_images, make_label
from initsuite.spec import Activation, Params


class TorchvisionModel(nn.Module):
    """A model of torchvision, without its trained weights, for images of one or three channels.

    It keeps its own activations and norms: `activation` changes nothing. A step draws no random numbers, so every
    Dropout, stochastic depth and attention dropout of it has probability 0; `switched_off` names them. Auxiliary heads
    are left out. Layers do not write over their input, and attention runs as plain matrix products: both for vmap.

    inputs: [example, channel, height, width]; one channel is repeated to three. Returns [example, output].

    Args:
        input_shape: [channel, height, width] of one example; 1 or 3 channels.
        activation: not used.
        arch: name in torchvision.models, of a classification model: resnet18, vgg11, vit_b_16 ...
        image_size: pixels on a side to which images are scaled (bilinear) before the first layer, from 1; None = as
            they are.

    Attributes:
        model: torchvision's module.
        switched_off: names of the modules in it whose random numbers were switched off.

    Raises:
        ConfigError: an unknown name, an option outside its range, other inputs, or images of a size that the model
            cannot take.

    References:
        https://docs.pytorch.org/vision/stable/models.html
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_outputs: int,
        activation: Activation,
        *,
        arch: str = "resnet18",
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        check_images("TorchvisionModel", input_shape, num_outputs=num_outputs)
        if input_shape[0] not in (1, 3):
            raise bad_value("TorchvisionModel", "input_shape", tuple(input_shape), "images of 1 or 3 channels")
        if image_size is not None:
            check_whole_number("TorchvisionModel", "image_size", image_size)
        self.arch, self.image_size, self.is_grey = arch, image_size, input_shape[0] == 1
        height, width = input_shape[1:] if image_size is None else (image_size, image_size)
        self.num_outputs, self.side = num_outputs, height
        self.model = _build(arch, num_outputs, height)
        self.switched_off = tuple(_made_pure(self.model))
        self._check_size(input_shape, height, width)
        self.label = make_label(arch, {f"{image_size}px": image_size is not None})

    def own_values(self, seed: int) -> Params:
        """The parameters as torchvision's constructor draws them, by name, from a stream of the seed."""
        with rng.isolated(seed, "init", "torchvision"):
            fresh = _build(self.arch, self.num_outputs, self.side, is_drawn=True)
        return {f"model.{name}": parameter.detach() for name, parameter in fresh.named_parameters()}

    def forward(self, inputs: Tensor) -> Tensor:
        if self.is_grey:
            inputs = inputs.expand(-1, 3, -1, -1)
        if self.image_size is not None:
            inputs = functional.interpolate(inputs, size=(self.image_size, self.image_size), mode="bilinear")
        with _plain_attention():
            return self.model(inputs)

    def _check_size(self, input_shape: Sequence[int], height: int, width: int) -> None:
        """Refuse images that are too small, by a pass without numbers."""
        tensors = (*self.named_parameters(), *self.named_buffers())
        shells = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
        try:
            with torch.no_grad():
                self.eval()
                torch.func.functional_call(self, shells, (torch.empty((2, *input_shape), device="meta"),))
        except (RuntimeError, ValueError, AssertionError) as error:
            raise ConfigError(
                f"TorchvisionModel: `arch`={self.arch!r} cannot take images of {height}x{width} pixels ({error}). "
                "Expected larger ones. Set model.image_size, for example 32, 64 or 224."
            ) from error
        finally:
            self.train()

    def extra_repr(self) -> str:
        return f"arch={self.arch}, image_size={self.image_size}, switched_off={list(self.switched_off)}"


def _build(arch: str, num_outputs: int, side: int, *, is_drawn: bool = False) -> nn.Module:
    """torchvision's model with the options of its constructor that the suite needs; `is_drawn`: its values matter."""
    models = import_torchvision().models
    check_choice("TorchvisionModel", "arch", arch, models.list_models(module=models))
    options: dict[str, Any] = {}
    if arch.startswith("vit_"):
        options["image_size"] = side
    if arch in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": is_drawn}
    try:
        return models.get_model(arch, weights=None, num_classes=num_outputs, **options)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise ConfigError(f"TorchvisionModel: `arch`={arch!r} cannot be built: {error}") from error


def _made_pure(model: nn.Module) -> Iterator[str]:
    """Switch off what draws random numbers or writes over its input; yields the names of the former."""
    for name, module in model.named_modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
        if isinstance(module, _DropoutNd) or type(module).__name__ == "StochasticDepth":
            if module.p:
                yield name
            module.p = 0.0  # type: ignore[assignment]
        for option in ("dropout", "attention_dropout", "drop_rate"):
            if isinstance(getattr(module, option, None), float) and getattr(module, option):
                yield name
                setattr(module, option, 0.0)  # type: ignore[arg-type]


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Without the fused kernels of attention, which have no batching rule (torch 2.13 falls back to a loop)."""
    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)
