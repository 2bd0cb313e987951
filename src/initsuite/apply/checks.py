"""Which models and parameters can be initialized, and why others cannot."""

from __future__ import annotations

import sys
import warnings

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from initsuite.apply.outside import weights_outside
from initsuite.errors import ConfigError, InitsuiteError, callers_level
from initsuite.wording import format_first


def check_model(model: nn.Module, strict: bool) -> None:
    """Refuse a model that is compiled or has no parameters; warn of weights that are none.

    Raises:
        ConfigError: it has no parameters; it is a module of torch.jit or of torch.export, or has one inside.
        InitsuiteError: with `strict`, it has weights that are no parameters.
    """
    check_is_python(model)
    outside = weights_outside(model)
    if next(model.parameters(), None) is None:
        held = f", but weights that are none: {format_first(outside, 4)}" if outside else ""
        raise ConfigError(
            f"initialize_: nothing to initialize: {type(model).__name__} has no parameters{held}. Expected a model "
            f"with layers that are registered in it. {_fix(outside)}"
        )
    if outside:
        text = f"initialize_: weights that are no parameters: {format_first(outside, 4)}. Expected layers that are "
        text += f"registered. {_fix(outside)}"
        if strict:
            raise InitsuiteError(text)
        told = "They are left as they are; strict=True makes this an error."
        warnings.warn(f"{text} {told}", stacklevel=callers_level())


def check_is_python(model: nn.Module, where: str = "initialize_") -> None:
    """Refuse a model that is compiled, or has a part that is.

    Raises:
        ConfigError: a module of torch.jit or of torch.export.
    """
    for name, module in model.named_modules():
        is_exported = type(module).__module__.startswith("torch.export")
        if is_exported or isinstance(module, torch.jit.ScriptModule):
            maker, got = ("torch.export", model) if is_exported else ("torch.jit", module)
            place = f" at `{name}`" if name and not is_exported else ""
            raise ConfigError(
                f"{where}: cannot initialize a module of {maker}{place}: {type(got).__name__}. Expected layers "
                f"in Python. Initialize the model before {maker} compiles it."
            )


def check_parameters(model: nn.Module) -> None:
    """Refuse parameters that no law can be written into.

    Raises:
        ConfigError: one is without a shape, sharded, empty, of whole numbers or read-only.
    """
    for name, parameter in model.named_parameters():
        if found := _obstacle(parameter):
            got, fix = found
            raise ConfigError(
                f"initialize_: cannot write parameter `{name}`: {got}. Expected a whole floating-point tensor. {fix}"
            )


def _fix(outside: list[str]) -> str:
    if any(each.endswith("packed weights") for each in outside):
        return "Initialize before the model is quantized."
    return "Keep layers in nn.ModuleList or nn.ModuleDict, and tensors in nn.Parameter, not in a list or a dict."


def _obstacle(parameter: nn.Parameter) -> tuple[str, str] | None:
    """Why a parameter cannot be written, and what helps."""
    if is_lazy(parameter):
        return "it is lazy and has no shape yet", "Send one batch through the model first."
    # a model can hold a DTensor only where its module has been imported, which takes a while
    distributed = sys.modules.get("torch.distributed.tensor")
    if distributed is not None and isinstance(parameter, distributed.DTensor):
        return "it is a DTensor, of which this process holds a shard", "Initialize before the model is sharded."
    shape = tuple(parameter.shape)
    if parameter.numel() == 0 and len(shape) > 1:
        return f"its shape is {shape}", "A layer without inputs or outputs has nothing to draw: remove it."
    if parameter.numel() == 0:
        return f"its shape is {shape}", "Sharded models hold empty placeholders: initialize before sharding."
    if not parameter.is_floating_point() and not parameter.is_complex():
        return f"its dtype is {parameter.dtype}", "Initialize before the model is quantized."
    if parameter.is_inference() and not torch.is_inference_mode_enabled():
        return "it was made under torch.inference_mode()", "Build the model outside of it."
    return None
