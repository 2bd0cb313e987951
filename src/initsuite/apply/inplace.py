"""A user's own model: a stand-in to compute on, and writing the result."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from initsuite.models.copying import copied
from initsuite.spec import Params

NORM_BUFFERS = {"running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
"""The values that torch gives the buffers of a new norm layer."""


def stand_in(model: nn.Module, placed: Collection[str]) -> nn.Module:
    """A copy of a model as an initializer expects it, so that no initializer can harm the user's.

    It is on the CPU in float32, with the parameters in `placed` on the meta device, and the others and the buffers with
    their values. No value of a placed parameter is copied. Tied parameters stay tied.

    A model that cannot be copied, for example because it holds a lock or an open file, stands in for itself.
    """
    replaced: dict[Tensor, Tensor] = {}
    for name, parameter in model.named_parameters():
        value = (
            torch.empty(parameter.shape, dtype=torch.float32, device="meta") if name in placed else _on_cpu(parameter)
        )
        replaced[parameter] = nn.Parameter(value, requires_grad=parameter.requires_grad)
    fresh = fresh_buffers(model)
    for name, buffer in model.named_buffers():
        replaced[buffer] = _on_cpu(fresh.get(name, buffer))
    return copied(model, replaced)


def _on_cpu(tensor: Tensor) -> Tensor:
    if tensor.is_meta:  # nothing to copy
        return tensor.detach()
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", dtype, copy=True)


def fresh_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Those buffers of norm layers that are on the meta device, as a new layer has them."""
    found = {}
    for name, buffer in model.named_buffers():
        owner, _, local = name.rpartition(".")
        if buffer.is_meta and local in NORM_BUFFERS and isinstance(model.get_submodule(owner), _NormBase):
            found[name] = torch.full_like(buffer, NORM_BUFFERS[local], device="cpu")
    return found


def write(model: nn.Module, params: Params, wanted: Collection[str]) -> None:
    """Write the values of the tensors in `wanted` into the parameters of a model, with their dtype and on their device.

    A parameter on the meta device is replaced by a new one on the CPU, wherever the model uses it, and so are the
    buffers of norm layers. The padding row of an embedding is set to 0, as in torch: no law knows of it. Values are
    taken out of `params` as they are written, so that at no time there are two copies of all.
    """
    new: dict[nn.Parameter, nn.Parameter] = {}
    written: set[nn.Parameter] = set()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name not in params or name not in wanted:
                continue
            if parameter.is_meta:
                new[parameter] = _materialised(parameter, params.pop(name))
            else:
                parameter.copy_(params.pop(name))
            written.add(new.get(parameter, parameter))
    for module in model.modules():
        for local, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if parameter in new:
                setattr(module, local, new[parameter])
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            _zero_padding(module, written)
    for name, value in fresh_buffers(model).items():
        if name in wanted:
            owner, _, local = name.rpartition(".")
            setattr(model.get_submodule(owner), local, value)


def _zero_padding(table: nn.Embedding | nn.EmbeddingBag, written: Collection[nn.Parameter]) -> None:
    if table.padding_idx is not None and table.weight in written:
        with torch.no_grad():
            table.weight[table.padding_idx].zero_()


def _materialised(parameter: nn.Parameter, value: Tensor) -> nn.Parameter:
    """A new parameter on the CPU with this value and with the attributes of one on the meta device."""
    made = nn.Parameter(
        torch.empty(parameter.shape, dtype=parameter.dtype, device="cpu").copy_(value), parameter.requires_grad
    )
    for key, mark in vars(parameter).items():  # a user's own, such as `no_weight_decay`
        setattr(made, key, mark)
    return made
