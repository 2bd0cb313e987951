"""Running a model on a probe as a function of its parameters, which are on the meta device, without touching it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from initsuite import rng
from initsuite.errors import ConfigError
from initsuite.models.describe.graph.contractions import LOOK_UPS, OPERANDS
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
        self._inside: set[str] = set()
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

        They are those of the layer's module. Of a layer inside of a module that does more (packed attention), or that
        is never called (`forward` takes its weight), as `calls` finds out, they are those of each product with the
        weight, with the bias or before it.
        """

        def hook(layer: Layer, module: nn.Module, args: Any, keywords: Any, output: Any) -> Tensor | None:
            return watch(layer, output, next(iter((*args, *keywords.values())), output))

        inside = {layer.weight.name: layer for layer in layers if layer.weight.name in self._inside}
        handles = [
            module.register_forward_hook(partial(hook, layer), with_kwargs=True)
            for layer in layers
            if layer.weight.name not in inside
            for module in layer.modules.values()
        ]
        products = _Products({_memory(params[name]): layer for name, layer in inside.items()}, watch)
        try:
            with products if inside else nullcontext():
                return self(params, inputs)
        finally:
            for handle in handles:
                handle.remove()

    def calls(self, params: Params, inputs: Tensor, layers: Sequence[Layer]) -> Counter[str]:
        """How often each layer is used, by the name of its weight, in the order of first use.

        Raises:
            ConfigError: a layer has no output to measure: neither does its module return one tensor, nor is anything
                multiplied by the weight as it is.
        """
        counts: Counter[str] = Counter()

        def watch(layer: Layer, output: object, _: object) -> None:
            if isinstance(output, Tensor):
                counts.update([layer.weight.name])

        held = Counter(id(module) for layer in layers for module in layer.modules.values())
        self._inside = {
            layer.weight.name
            for layer in layers
            if any(held[id(module)] > 1 or next(module.children(), None) for module in layer.modules.values())
        }
        self.watched(params, inputs, layers, watch)
        self._inside |= {layer.weight.name for layer in layers} - counts.keys()
        if not self._inside.issubset(counts):
            counts.clear()
            self.watched(params, inputs, layers, watch)
        for layer in layers:
            if layer.weight.name not in counts:
                kind = type(next(iter(layer.modules.values()))).__name__
                raise self._hidden(layer, f"its {kind} returns none, and nothing is multiplied by it as it is")
        return counts

    def _hidden(self, layer: Layer, reason: str) -> ConfigError:
        return ConfigError(
            f"{self.law}: no output of `{layer.weight.name}` to measure: {reason}. Expected a layer that forward calls "
            "and that returns one tensor, or products with the weight as it is. Use an initializer without data for "
            "this model, or build it from linear layers and convolutions."
        )

    def _bad_loss(self, got: str) -> ConfigError:
        return ConfigError(
            f"{self.law}: bad `probe.loss`: {got}. Expected a finite scalar of the model's outputs and the targets. "
            "Check the probe's inputs and targets, and the scale of the start."
        )


class _Products(TorchDispatchMode):
    """Shows `watch` every product with the weights of layers, which are known by their memory."""

    def __init__(self, layers: Mapping[int, Layer], watch: Watch) -> None:
        super().__init__()
        self.layers, self.watch = layers, watch

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        name = func._schema.name.partition("::")[2]
        for place in OPERANDS.get(name, ()) if name not in LOOK_UPS else ():
            layer = self.layers.get(_memory(args[place]))
            if layer is not None:
                (other,) = (args[each] for each in OPERANDS[name] if each != place)
                changed = self.watch(layer, output, other)
                return output if changed is None else changed
        return output


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


@contextmanager
def _probing_mode(model: nn.Module) -> Iterator[None]:
    flags = [(module, module.training) for module in model.modules()]
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation for a whole layer of torch's encoder
    try:
        for module, _ in flags:
            module.training = isinstance(module, _BatchNorm)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)
        for module, training in flags:
            module.training = training


def _plain(tensor: Tensor) -> Tensor:
    """On the CPU and out of the graph; real numbers in float32."""
    tensor = tensor.detach().cpu()
    return tensor.float() if tensor.is_floating_point() else tensor
