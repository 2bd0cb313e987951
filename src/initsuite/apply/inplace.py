"""A user's own model: which parameters can be initialized, a stand-in to compute on, and writing the result."""

from __future__ import annotations

import copy
import sys
from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy

from initsuite.errors import ConfigError
from initsuite.spec import Params

NORM_BUFFERS = {"running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
"""The values that torch gives the buffers of a new norm layer."""


def check_parameters(model: nn.Module) -> None:
    """Refuse parameters that no law can be written into.

    Raises:
        ConfigError: the model has none; one is without a shape, sharded, empty, not floating or read-only.
    """
    parameters = dict(model.named_parameters())
    if not parameters:
        raise ConfigError(
            f"initialize_: nothing to initialize: {type(model).__name__} has no parameters. Expected a model with "
            "layers that are registered in it. Keep layers in nn.ModuleList or nn.ModuleDict, not in a list or a dict."
        )
    for name, parameter in parameters.items():
        if found := _obstacle(parameter):
            got, fix = found
            raise ConfigError(
                f"initialize_: cannot write parameter `{name}`: {got}. Expected a whole floating-point tensor. {fix}"
            )


def _obstacle(parameter: nn.Parameter) -> tuple[str, str] | None:
    """Why a parameter cannot be written, and what helps."""
    if is_lazy(parameter):
        return "it is lazy and has no shape yet", "Send one batch through the model first."
    # a model can hold a DTensor only where its module has been imported, which takes a while
    distributed = sys.modules.get("torch.distributed.tensor")
    if distributed is not None and isinstance(parameter, distributed.DTensor):
        return "it is a DTensor, of which this process holds a shard", "Initialize before the model is sharded."
    if parameter.numel() == 0:
        shape = tuple(parameter.shape)
        return f"its shape is {shape}", "Sharded models hold empty placeholders: initialize before sharding."
    if not parameter.is_floating_point():
        return f"its dtype is {parameter.dtype}", "Initialize before the model is quantized."
    if parameter.is_inference() and not torch.is_inference_mode_enabled():
        return "it was made under torch.inference_mode()", "Build the model outside of it."
    return None


def stand_in(model: nn.Module, placed: Collection[str]) -> nn.Module:
    """A copy of a model as an initializer expects it, so that no initializer can harm the user's.

    It is on the CPU in float32, with the parameters in `placed` on the meta device, and the others and the buffers with
    their values. No value of a placed parameter is copied. Tied parameters stay tied.

    A model that cannot be copied, for example because it holds a lock or an open file, stands in for itself.
    """
    memo: dict[int, object] = {}
    for name, parameter in model.named_parameters():
        value = torch.empty(parameter.shape, device="meta") if name in placed else _on_cpu(parameter)
        memo[id(parameter)] = nn.Parameter(value, requires_grad=parameter.requires_grad)
    fresh = fresh_buffers(model)
    for name, buffer in model.named_buffers():
        memo[id(buffer)] = _on_cpu(fresh.get(name, buffer))
    for module in model.modules():
        for value in vars(module).values():  # a result that is kept as an attribute: torch refuses to copy those
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach()
    try:
        return copy.deepcopy(model, memo)
    except Exception:  # copying runs the user's code, which may raise anything
        return model


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


def write(model: nn.Module, params: Params) -> None:
    """Write values into the parameters of a model, with their dtype and on their device.

    A parameter on the meta device is replaced by a new one on the CPU, wherever the model uses it, and so are the
    buffers of norm layers. The padding row of an embedding is set to 0, as in torch: no law knows of it.
    """
    new: dict[nn.Parameter, nn.Parameter] = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in params and parameter.is_meta:
                value = torch.empty(parameter.shape, dtype=parameter.dtype, device="cpu").copy_(params[name])
                new[parameter] = nn.Parameter(value, requires_grad=parameter.requires_grad)
                for key, mark in vars(parameter).items():  # a user's own, such as `no_weight_decay`
                    setattr(new[parameter], key, mark)
            elif name in params:
                parameter.copy_(params[name])
    for module in model.modules():
        for local, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if parameter in new:
                setattr(module, local, new[parameter])
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.padding_idx is not None:
            with torch.no_grad():
                module.weight[module.padding_idx].zero_()
    for name, value in fresh_buffers(model).items():
        owner, _, local = name.rpartition(".")
        setattr(model.get_submodule(owner), local, value)
