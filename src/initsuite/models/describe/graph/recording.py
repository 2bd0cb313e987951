"""One forward pass of a model, recorded as a graph of aten operations with the parameters as its inputs."""

from __future__ import annotations

import copy
import dataclasses
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, fx, nn
from torch._guards import TracingContext, tracing
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_unflatten

from initsuite import rng
from initsuite.errors import InitsuiteError
from initsuite.models.copying import copied
from initsuite.models.describe.examples import Example
from initsuite.models.describe.graph.replaying import Constants
from initsuite.models.describe.graph.tokens import is_view, learned_tokens, reached

MOST_ENTRIES = 100_000_000
"""A model with more is recorded with fake tensors only: its values may not fit into memory a second time."""


@dataclass(frozen=True)
class Recording:
    """What a forward pass computed.

    Attributes:
        nodes: the operations in order, with placeholders for parameters, buffers and inputs; the output comes last.
        parameters: names of the parameters by their placeholders.
        constants: values of tensors that are neither parameters nor inputs: buffers and those that `forward` makes, by
            node; None where there is no value.
        inputs: placeholders of the example.
        example: the inputs that were used.
        outputs: where in what the model returns each of its tensors is: keys, names and numbers joined by dots; "" for
            a tensor that is returned as it is.
    """

    nodes: tuple[fx.Node, ...]
    parameters: Mapping[fx.Node, str]
    constants: Mapping[fx.Node, Tensor | None]
    inputs: frozenset[fx.Node]
    example: Example
    index: Mapping[fx.Node, int] = field(repr=False)
    outputs: tuple[str, ...] = ()

    @cached_property
    def signals(self) -> frozenset[fx.Node]:
        """The nodes that depend on the inputs, or on learned tokens, by value, not by shape alone."""
        return frozenset(reached(self.nodes, {*self.inputs, *self.tokens}))

    @cached_property
    def tokens(self) -> frozenset[fx.Node]:
        """What a layer takes that is computed from parameters alone, like the learned queries of a decoder."""
        return learned_tokens(self)

    @cached_property
    def sources(self) -> Mapping[fx.Node, tuple[str, ...]]:
        """The parameters that each node is computed from; only nodes that are no signals."""
        found: dict[fx.Node, tuple[str, ...]] = {}
        for node in self.nodes:
            if node in self.parameters:
                found[node] = (self.parameters[node],)
            elif node not in self.signals:
                behind = [name for each in node.all_input_nodes for name in found.get(each, ())]
                found[node] = tuple(dict.fromkeys(behind))
        return found

    @cached_property
    def ancestors(self) -> Mapping[fx.Node, int]:
        """For each node, as a bit mask over positions in `nodes`, what it is computed from, itself included."""
        masks: dict[fx.Node, int] = {}
        for node in self.nodes:
            mask = 1 << self.index[node]
            for source in node.all_input_nodes:
                mask |= masks[source]
            masks[node] = mask
        return masks

    def placeholder(self, name: str) -> fx.Node:
        """The input that stands for a parameter."""
        return next(node for node, each in self.parameters.items() if each == name)

    def value(self, node: fx.Node) -> Tensor | None:
        """The value of a node that is computed from constants alone; None for any other: see `Constants`."""
        return self._fixed.value(node)

    @cached_property
    def _fixed(self) -> Constants:
        return Constants(self, lambda name: None)

    def number(self, argument: object) -> float | None:
        """The number that an argument of an operation stands for; None if it is no single number."""
        if isinstance(argument, fx.Node):
            found = self.value(argument)
            is_number = isinstance(found, Tensor) and found.numel() == 1 and not found.is_meta
            return float(found) if is_number else None  # type: ignore[arg-type]
        return float(argument) if type(argument) in (int, float) else None  # type: ignore[arg-type]


Trains = Callable[[nn.Module], bool]
"""Whether a module is in training mode."""


def record(
    model: nn.Module, example: Example, *, must_run: bool = False, is_training: bool | Trains = False
) -> Recording | None:
    """Record the forward pass of a model on example inputs; None where it cannot be run on them.

    Everything is in evaluation mode, or in training mode with `is_training`, in float32 on the CPU, on fake tensors,
    which have shapes but no values; a pass that depends on values is run on real ones if the model is small. The model,
    whose parameters may be on the meta device, and all global random states stay as they are.

    Args:
        model: any module.
        example: what it is called with.
        must_run: raise an error where the model cannot be run.
        is_training: as in training, with dropout and the statistics of the batch; or for which modules.

    Raises:
        InitsuiteError: with `must_run`, what the model raises on these inputs.
    """
    plain = _copy(model)
    failure: Exception | None = None
    for attempt in (_as_written, _with_values):
        try:
            with _quiet(plain, is_training):
                return attempt(plain, example)
        except Exception as error:  # a model's own code may raise anything
            failure = error
    if must_run:
        raise InitsuiteError(
            f"describe: cannot record a forward pass of {type(model).__name__} on {example.assumed or '`example`'}: "
            f"{type(failure).__name__}: {failure}. Expected inputs that its forward takes."
        ) from failure
    return None


def takes(model: nn.Module, example: Example, *, is_training: bool = False) -> bool:
    """Whether the forward pass runs on example inputs; a wrong guess is noticed sooner so than by recording it."""
    plain = _copy(model)
    for is_fake in (True, False):
        try:
            with _quiet(plain, is_training):
                prepared = _prepared(plain, example, is_fake=is_fake)
                with prepared.mode or nullcontext():
                    prepared.run(*prepared.tensors)
                return True
        except Exception:  # a model's own code may raise anything
            continue
    return False


def _as_written(model: nn.Module, example: Example) -> Recording:
    return _recorded(model, example, is_fake=True)


def _with_values(model: nn.Module, example: Example) -> Recording:
    return _recorded(model, example, is_fake=False)


@dataclass
class _Pass:
    """A forward pass as a function of parameters, buffers and the tensors of the example.

    Attributes:
        run: the function.
        tensors: its arguments, and the mode that they are fake in.
        places: where in what the model returned each of its tensors was, once the function has run.
    """

    run: Callable[..., list[Tensor]]
    tensors: list[Tensor]
    mode: FakeTensorMode | None
    places: list[str]


def _prepared(model: nn.Module, example: Example, *, is_fake: bool) -> _Pass:
    """The forward pass of a model on example inputs.

    Raises:
        MemoryError: real values of too large a model.
    """
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    if not is_fake and sum(parameter.numel() for parameter in parameters.values()) > MOST_ENTRIES:
        raise MemoryError
    arguments, structure = tree_flatten((example.args, dict(example.kwargs)))
    given = [each for each in arguments if isinstance(each, Tensor)]
    places: list[str] = []

    def run(*tensors: Tensor) -> list[Tensor]:
        values = dict(zip([*parameters, *buffers], tensors, strict=False))
        rest = iter(tensors[len(values) :])
        filled = [next(rest) if isinstance(each, Tensor) else each for each in arguments]
        args, kwargs = tree_unflatten(filled, structure)
        returned = dict(named_tensors_in(functional_call(model, values, args, kwargs)))
        places[:] = returned
        return list(returned.values())

    mode = FakeTensorMode(allow_non_fake_inputs=True) if is_fake else None
    tensors = [_stand_in(each, mode) for each in (*parameters.values(), *buffers.values(), *given)]
    return _Pass(run, tensors, mode, places)


def _recorded(model: nn.Module, example: Example, *, is_fake: bool) -> Recording:
    prepared = _prepared(model, example, is_fake=is_fake)
    tracer = make_fx(
        prepared.run,
        tracing_mode="fake" if is_fake else "real",
        _allow_non_fake_inputs=True,
        _error_on_data_dependent_ops=is_fake,
    )
    # one mode for the shapes of all results of real tensors: torch would make one for each, with a stack trace
    with nullcontext() if is_fake else tracing(TracingContext(FakeTensorMode())):
        graph = tracer(*prepared.tensors)
    _join_writes(graph.graph)
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
    names = dict(zip(placeholders, parameters, strict=False))
    rest = placeholders[len(names) :]
    constants: dict[fx.Node, Tensor | None] = dict(zip(rest, buffers.values(), strict=False))
    inputs = frozenset(rest[len(buffers) :])
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            value = getattr(graph, str(node.target), None)
            constants[node] = value if type(value) in (Tensor, nn.Parameter) else None
    nodes = tuple(graph.graph.nodes)
    index = {node: place for place, node in enumerate(nodes)}
    return Recording(nodes, names, constants, inputs, example, index, tuple(prepared.places))


def _join_writes(graph: fx.Graph) -> None:
    """Let what is written into a view reach the later uses of the tensor that it is a view of."""
    for node in list(graph.nodes):
        schema = getattr(node.target, "_schema", None)
        if node.op != "call_function" or schema is None or not schema.is_mutable or not node.args:
            continue
        base = node.args[0]
        while isinstance(base, fx.Node) and is_view(base):
            base = base.args[0]
        if not isinstance(base, fx.Node) or base is node.args[0] or base.op != "call_function":
            continue
        with graph.inserting_after(node):
            joined = graph.call_function(torch.ops.aten.copy.default, (base, node))
        joined.meta["val"] = base.meta.get("val")
        base.replace_all_uses_with(joined, delete_user_cb=lambda user, last=joined: user > last)


def _stand_in(tensor: Tensor, mode: FakeTensorMode | None) -> Tensor:
    """A tensor of this shape on the CPU, real numbers in float32."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    if mode is not None:
        with mode:
            return torch.empty(tensor.shape, dtype=dtype, device="cpu")
    if not tensor.is_meta:
        return tensor.detach().to("cpu", dtype, copy=True)
    return torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0), device="cpu").to(dtype)


def tensors_in(value: object) -> Iterator[Tensor]:
    """The tensors of a model's output, whatever holds them."""
    yield from (tensor for _, tensor in named_tensors_in(value))


def named_tensors_in(value: object, place: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a model's output with the keys, names and numbers that lead to each, joined by dots."""
    inside: Iterable[tuple[object, object]] = ()
    if isinstance(value, Tensor):
        yield place, value
    elif isinstance(value, Mapping):
        inside = value.items()
    elif isinstance(value, list | tuple | set):
        inside = enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        inside = ((each.name, getattr(value, each.name)) for each in dataclasses.fields(value))
    elif isinstance(getattr(value, "__dict__", None), dict) and not isinstance(value, nn.Module):
        held = vars(value).items()
        inside = ((name, each) for name, each in held if isinstance(each, Tensor | Mapping | list | tuple))
    for name, each in inside:
        yield from named_tensors_in(each, f"{place}.{name}".lstrip("."))


def _copy(model: nn.Module) -> nn.Module:
    """A copy with the same parameters and buffers, so that nothing that `forward` stores or hooks tell stays behind.

    Hooks of torch itself are kept (weight_norm computes the weight in one). A model that cannot be copied is used as
    it is; `_quiet` puts its attributes back.
    """
    plain = copied(model, {each: each for each in (*model.parameters(), *model.buffers())})
    for module in plain.modules() if plain is not model else ():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key, hook in list(hooks.items()):
                if not str(getattr(type(hook), "__module__", "")).startswith("torch.nn.utils"):
                    del hooks[key]
    return plain


@contextmanager
def _quiet(model: nn.Module, is_training: bool | Trains) -> Iterator[None]:
    """Evaluation or training mode, torch's defaults, no warnings; everything as it was afterwards."""
    states = [(module, dict(vars(module))) for module in model.modules()]
    held = [(each, copy.copy(each)) for _, kept in states for each in kept.values() if type(each) in (dict, list, set)]
    fastpath = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(rng.isolated(0, "record"))
        stack.enter_context(rng.float32_on_cpu())
        stack.enter_context(torch.no_grad())
        # fake tensors log what fails in them, before the next guess at inputs is tried
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.CRITICAL)
        # recurrent kernels of mkldnn would hide the products inside
        stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            for module, _ in states:
                module.training = is_training(module) if callable(is_training) else is_training
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fastpath)
            for module, attributes in states:
                vars(module).clear()
                vars(module).update(attributes)
            for each, before in held:  # of a model that could not be copied
                each.clear()
                each.extend(before) if isinstance(each, list) else each.update(before)
