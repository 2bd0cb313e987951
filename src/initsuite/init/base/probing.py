"""Running a model on a probe as a function of its parameters, which are on the meta device, without touching it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from initsuite import rng
from initsuite.errors import ConfigError
from initsuite.models.describe.layers import EMBEDDINGS, WEIGHTS
from initsuite.models.describe.places import holders
from initsuite.spec import Params, ParamSpec, Probe, Specs


def needed(law: str, probe: Probe | None, what: str = "inputs") -> Probe:
    """The probe on the CPU, real inputs in float32; an error that says `what` the law uses where there is none."""
    if probe is None:
        raise ConfigError(
            f"{law}: no `probe`. Expected a Probe, of which it uses the {what}. "
            "Give one: initialize_(..., probe=Probe(inputs, targets, loss))."
        )
    return on_cpu(probe)


def on_cpu(probe: Probe) -> Probe:
    """The probe on the CPU and out of any graph, real numbers in float32."""
    return Probe(_plain(probe.inputs), _plain(probe.targets), probe.loss)


@dataclass(frozen=True)
class Layer:
    """A weight, the bias beside it, and every module that multiplies by it, by name (several where it is tied).

    Attributes:
        is_looked_up: whether the weight is an embedding as well, so that it also makes the inputs of other layers.
    """

    weight: ParamSpec
    bias: ParamSpec | None
    modules: Mapping[str, nn.Module]
    is_looked_up: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Of its tensors."""
        return (self.weight.name, self.bias.name) if self.bias else (self.weight.name,)


def layers_of(model: nn.Module, specs: Specs) -> list[Layer]:
    """The layers whose weights `specs` describe, in the order of the model; of embeddings those that are a head too."""
    by_name = {spec.name: spec for spec in specs}
    layers = []
    for name, modules in holders(model).items():
        spec = by_name.get(name)
        tables = {place for place, module in modules.items() if isinstance(module, EMBEDDINGS)}
        if spec and (spec.role in WEIGHTS or (tables and len(tables) < len(modules))):
            bias = by_name.get(f"{name.rpartition('.')[0]}.bias".lstrip("."))
            uses = {place: module for place, module in modules.items() if place not in tables}
            layers.append(Layer(spec, bias if bias is not spec else None, uses, bool(tables)))
    return layers


Watch = Callable[[Layer, Tensor, Tensor], Tensor | None]
"""Is shown each output of a layer, and its input; what it returns, if anything, replaces the output."""


class ProbedModel:
    """A model as a function of its parameters: (params, inputs) -> outputs.

    Everything is in evaluation mode, so that dropout draws nothing, except for batch norm, which uses the statistics
    of the batch; its running statistics change in copies. What `forward` itself draws, from torch, numpy or Python, is
    the same in every call, and moves no stream outside. Attention is computed in the way that can be differentiated
    twice. Parameters that no spec describes keep the model's own values. The model is left as it was. Errors name the
    `law`; a call raises ConfigError where the model cannot be run on the inputs.
    """

    def __init__(self, law: str, model: nn.Module) -> None:
        self.law = law
        self.model = model
        kept = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self._kept = {name: _plain(value) for name, value in kept.items() if not value.is_meta}

    def __call__(self, params: Params, inputs: Tensor) -> Tensor:
        # batch norm writes into the buffers that it is given
        values = {**{name: value.clone() for name, value in self._kept.items()}, **params}
        with _probing_mode(self.model), sdpa_kernel(SDPBackend.MATH), rng.isolated(0, "probing"), rng.float32_on_cpu():
            try:
                return functional_call(self.model, values, (inputs,))
            except ConfigError:
                raise
            except Exception as error:  # a user's model may raise anything
                raise ConfigError(
                    f"{self.law}: cannot run the model on `probe.inputs` of shape {tuple(inputs.shape)}, "
                    f"{inputs.dtype}: {type(error).__name__}: {error}. Expected inputs that its forward takes, and "
                    "buffers with values (not on the meta device)."
                ) from error

    def loss(self, params: Params, probe: Probe) -> Tensor:
        """The probe's loss, a scalar; refuses one that cannot be computed or is not finite."""
        outputs = self(params, probe.inputs)
        try:
            loss = probe.loss(outputs, probe.targets)
        except Exception as error:
            raise self._bad_loss(f"{type(error).__name__}: {error}") from error
        if loss.ndim or not loss.isfinite():
            raise self._bad_loss(f"{loss.detach()}")
        return loss

    def gradients(self, value: Tensor, params: Sequence[Tensor], *, again: bool = False) -> tuple[Tensor, ...]:
        """The derivatives of a scalar, which can be differentiated `again`; 0 for what it does not depend on.

        Raises:
            ConfigError: an operation of the model has no such derivative.
        """
        if not value.requires_grad:
            return tuple(torch.zeros_like(param) for param in params)
        try:
            return torch.autograd.grad(value, params, create_graph=again, materialize_grads=True)
        except RuntimeError as error:
            raise ConfigError(
                f"{self.law}: cannot differentiate the model as often as the law needs: {error}. Expected operations "
                "with second derivatives. Use another initializer for this model."
            ) from error

    def watched(self, params: Params, inputs: Tensor, layers: Sequence[Layer], watch: Watch) -> Tensor:
        """Run the model and show `watch` every output and input of these layers.

        Raises:
            ConfigError: a layer's module returns something other than a tensor.
        """

        def hook(layer: Layer, module: nn.Module, args: Any, keywords: Any, output: Any) -> Tensor | None:
            if not isinstance(output, Tensor):
                raise self._hidden(layer, f"its {type(module).__name__} returns a {type(output).__name__}")
            return watch(layer, output, next(iter((*args, *keywords.values())), output))

        handles = [
            module.register_forward_hook(partial(hook, layer), with_kwargs=True)
            for layer in layers
            for module in layer.modules.values()
        ]
        try:
            return self(params, inputs)
        finally:
            for handle in handles:
                handle.remove()

    def calls(self, params: Params, inputs: Tensor, layers: Sequence[Layer]) -> Counter[str]:
        """How often each layer is used, by the name of its weight, in the order of first use.

        Raises:
            ConfigError: a layer is never called, so that it has no output to measure.
        """
        counts: Counter[str] = Counter()
        self.watched(params, inputs, layers, lambda layer, *_: counts.update([layer.weight.name]))
        for layer in layers:
            if layer.weight.name not in counts:
                kind = type(next(iter(layer.modules.values()))).__name__
                raise self._hidden(layer, f"its {kind} is not called as a module")
        return counts

    def _hidden(self, layer: Layer, reason: str) -> ConfigError:
        return ConfigError(
            f"{self.law}: no output of `{layer.weight.name}` to measure: {reason}. Expected a layer that forward calls "
            "and that returns one tensor. Use an initializer without data for this model, or build it from linear "
            "layers and convolutions."
        )

    def _bad_loss(self, got: str) -> ConfigError:
        return ConfigError(
            f"{self.law}: bad `probe.loss`: {got}. Expected a finite scalar of the model's outputs and the targets. "
            "Check the probe's inputs and targets, and the scale of the start."
        )


@contextmanager
def _probing_mode(model: nn.Module) -> Iterator[None]:
    flags = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in flags:
            module.training = isinstance(module, _BatchNorm)
        yield
    finally:
        for module, training in flags:
            module.training = training


def _plain(tensor: Tensor) -> Tensor:
    """On the CPU and out of the graph; real numbers in float32."""
    tensor = tensor.detach().cpu()
    return tensor.float() if tensor.is_floating_point() else tensor
