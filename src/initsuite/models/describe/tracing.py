"""What the forward pass of a model calls after what, found without running it."""

from __future__ import annotations

import copy
import heapq
import inspect
import operator
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import fx, nn

from initsuite.activations import ActivationLayer, activation
from initsuite.models.describe.following import activation_called, activation_of
from initsuite.models.describe.layers import LAYERS, NORMS
from initsuite.spec import Activation

TRANSFORMERS = (nn.Transformer, nn.TransformerEncoder, nn.TransformerDecoder)
WHOLE = (*LAYERS, *NORMS, *TRANSFORMERS, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, ActivationLayer)
"""Modules that a trace does not look into; what is inside is read by type."""
ADDS = (operator.add, operator.iadd, torch.add, "add", "add_")
MULTIPLIES = (operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_")
NO_TENSORS = (getattr, "size", "dim", "numel")
"""Calls that return no tensor (a shape, a device), or none that carries the signal."""
MIXING_NAMES = ("matmul", "bmm", "baddbmm", "einsum", "scaled_dot_product_attention", "softmax", "log_softmax", "mm")
"""Calls that mix a signal with others, as attention written by hand does: no nonlinearity after them is its own."""
Calls = tuple[Sequence[fx.Node], dict[str, nn.Module]]
"""The calls of a forward pass in order, and the modules of the traced model by name."""


def forward_calls(model: nn.Module, is_whole: Callable[[nn.Module], bool], *, is_plain: bool = False) -> Calls | None:
    """What a model's forward pass calls, or None if `torch.fx` cannot tell (the pass depends on values or shapes).

    The parameters may be on the meta device.

    Args:
        model: any module.
        is_whole: whether a module counts as one call; torch's own do.
        is_plain: trace a copy of the modules without hooks, so that nothing that `forward` stores stays in the model;
            optional arguments take their defaults. Otherwise hooks run, and each argument is an input.
    """
    try:
        traced, defaults = _plain(model) if is_plain else (model, {})
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            graph = _Tracer(is_whole).trace(traced, defaults)
    except Exception:  # a model's own code may raise anything
        return None
    return list(graph.nodes), dict(traced.named_modules())


def _plain(model: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
    """A copy without hooks, but with the same parameters, and the defaults of its optional arguments."""
    copied = copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})
    for module in copied.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    arguments = inspect.signature(copied.forward).parameters.values()
    return copied, {each.name: each.default for each in arguments if each.default is not each.empty}


class _Tracer(fx.Tracer):
    def __init__(self, is_whole: Callable[[nn.Module], bool]) -> None:
        super().__init__()
        self._is_whole = is_whole

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return self._is_whole(m) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module, weighted: Sequence[str]) -> Trace | None:
    """The trace of a model's forward pass, or None if it cannot be made; `weighted` as in `Trace`."""
    if isinstance(model, WHOLE):
        return None
    found = forward_calls(model, lambda module: isinstance(module, WHOLE), is_plain=True)
    return Trace(*found, weighted) if found else None


class Trace:
    """The calls of a forward pass, in order.

    Args:
        nodes: the calls, in the form of `torch.fx`.
        modules: the modules of the traced model by name.
        weighted: the names of the modules that are layers with weights, in the order of registration.
    """

    def __init__(self, nodes: Sequence[fx.Node], modules: dict[str, nn.Module], weighted: Sequence[str]) -> None:
        self.nodes = nodes
        self.position = {node: index for index, node in enumerate(nodes)}
        self.modules = modules
        self.weighted = weighted

    @cached_property
    def layers(self) -> dict[fx.Node, list[str]]:
        """The layers with weights that each call applies: its module's, or those whose parameters it is given."""
        constant: dict[fx.Node, list[str]] = {}  # nodes computed from parameters alone, and the layers of these
        applied: dict[fx.Node, list[str]] = {}
        for node in self.nodes:
            given = [owner for source in node.all_input_nodes for owner in constant.get(source, [])]
            if node.op == "get_attr":
                owner = str(node.target).rpartition(".")[0]
                constant[node] = [owner] if owner in self.weighted else []
            elif node.op == "call_module":
                inside = f"{node.target}."
                applied[node] = [name for name in self.weighted if name == node.target or name.startswith(inside)]
            elif node.op in ("call_function", "call_method"):
                if all(source in constant for source in node.all_input_nodes):
                    constant[node] = given
                else:
                    applied[node] = [name for name in self.weighted if name in given]
        return {node: names for node, names in applied.items() if names}

    @cached_property
    def _calls_of_layers(self) -> dict[str, list[fx.Node]]:
        """The calls that return a layer's output; if one call applies several layers, that of the last one."""
        calls: dict[str, list[fx.Node]] = {}
        for node, names in self.layers.items():
            calls.setdefault(names[-1], []).append(node)
        return calls

    def __contains__(self, layer: str) -> bool:
        """Whether the output of this layer is seen."""
        return layer in self._calls_of_layers

    def following(self, layer: str) -> Activation | None:
        """The first nonlinearity that the output of a layer meets before the next layer with weights."""
        walk = self._walk(self._calls_of_layers[layer], lambda node: node.users, sign=1)
        return next(filter(None, map(self._activation, walk)), None)

    def heads(self) -> list[str]:
        """The layers whose output reaches the model's output without another layer in between, in call order."""
        ends = [node for node in self.nodes if node.op == "output"]
        found = [node for node in self._walk(ends, lambda node: node.all_input_nodes, sign=-1) if node in self.layers]
        return [self.layers[node][-1] for node in reversed(found)]

    def _walk(
        self, starts: Iterable[fx.Node], neighbours: Callable[[fx.Node], Iterable[fx.Node]], sign: int
    ) -> Iterable[fx.Node]:
        """The nodes reached from `starts`, nearest call first, up to a layer or a call that hides the signal."""
        queue = [sign * self.position[after] for node in starts for after in neighbours(node)]
        heapq.heapify(queue)
        seen: set[int] = set()
        while queue:
            place = heapq.heappop(queue)
            if place in seen:
                continue
            seen.add(place)
            node = self.nodes[sign * place]
            yield node
            if node not in self.layers and not (sign == 1 and _hides(node)):
                for after in neighbours(node):
                    heapq.heappush(queue, sign * self.position[after])

    def _activation(self, node: fx.Node) -> Activation | None:
        if node.op == "call_module":
            return activation_of(self.modules[str(node.target)])
        if node.op not in ("call_function", "call_method") or not node.args or not isinstance(node.args[0], fx.Node):
            return None
        keywords: dict[str, Any] = dict(node.kwargs)
        source = node.args[0]
        if _is_call(source, MULTIPLIES):
            factor = next((value for value in source.args if type(value) in (int, float)), 1.0)
            keywords["omega"] = factor  # for a sine; other functions have no such option
        found = activation_called(node.target, node.args[1:], keywords)
        is_gate = found is not None and found.name == "sigmoid"
        if is_gate and any(_is_call(user, MULTIPLIES) and source in user.args for user in node.users):
            return activation("silu")
        return found

    def residual_branches(self) -> list[list[str]]:
        """The modules called between a tensor and one computed from it, for each addition of two such tensors."""
        branches = []
        for node in self.nodes:
            if not _is_call(node, ADDS):
                continue
            terms = [self._unscaled(term) for term in node.args[:2] if isinstance(term, fx.Node)]
            if len(terms) == 2:
                start, end = sorted(terms, key=self.position.__getitem__)
                branches.append([name for call in self._between(start, end) for name in self._names(call)])
        return list(filter(None, branches))

    def _unscaled(self, node: fx.Node) -> fx.Node:
        """The node whose output this one passes on unchanged, or multiplied by a number."""
        while len(node.all_input_nodes) == 1:
            is_identity = node.op == "call_module" and isinstance(self.modules[str(node.target)], nn.Identity)
            if not is_identity and not _is_call(node, MULTIPLIES):
                break
            (node,) = node.all_input_nodes
        return node

    def _between(self, start: fx.Node, end: fx.Node) -> list[fx.Node]:
        """The calls on all paths from `start` to `end`, including `end`; empty if there is no path."""
        calls = self.nodes[self.position[start] + 1 : self.position[end] + 1]
        reached = {start}
        for node in calls:
            if not reached.isdisjoint(node.all_input_nodes) and not _is_call(node, NO_TENSORS):
                reached.add(node)
        wanted = {end} & (reached - {start})
        for node in reversed(calls):
            if node in wanted:
                wanted |= reached.intersection(node.all_input_nodes)
        return [node for node in calls if node in wanted]

    def _names(self, node: fx.Node) -> Collection[str]:
        if node in self.layers:
            return self.layers[node]
        return [str(node.target)] if node.op == "call_module" else []


def _is_call(node: fx.Node, targets: tuple[object, ...]) -> bool:
    return node.op in ("call_function", "call_method") and node.target in targets


def _hides(node: fx.Node) -> bool:
    """Whether a call returns something else than the signal that it was given, plus or times something."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return _is_call(node, NO_TENSORS) or (node.op != "call_module" and name in MIXING_NAMES)
