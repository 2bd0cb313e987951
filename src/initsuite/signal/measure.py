"""One draw of a model, measured: a forward and a backward pass, in which one layer after the other is looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, fx

from initsuite import rng
from initsuite.models.describe.graph.branches import GraphBranch, residual_branches
from initsuite.models.describe.graph.contractions import contractions
from initsuite.models.describe.graph.recording import Recording
from initsuite.signal import statistics
from initsuite.signal.attention import Spread, fused_spread, is_fused, softmax_nodes, spread
from initsuite.signal.examples import by_example, places_of
from initsuite.signal.layers import Layer, Use, layers_of, short
from initsuite.signal.replay import Replay, Watch, written_copies
from initsuite.spec import ParamSpec

Loss = Callable[[Tensor], Tensor]
"""The mean loss of the outputs."""


@dataclass(frozen=True)
class Subject:
    """What is measured, whatever the values of its parameters.

    Attributes:
        recording: the forward pass on the batch.
        specs: the facts about its parameters.
        output: which of the tensors that the model returns counts.
        batch: how many examples there are; 0 where they cannot be told from each other.
        loss: of the outputs; None where no targets are known.
        lr: the learning rate of the optimizer step.
        class_axis: the axis of the outputs that holds the classes.
        num_classes: how many; 0 where outputs are no classes.
    """

    recording: Recording
    specs: Sequence[ParamSpec]
    output: int
    batch: int
    loss: Loss | None
    lr: float = 1e-3
    class_axis: int = -1
    num_classes: int = 0

    @cached_property
    def layers(self) -> list[Layer]:
        return layers_of(self.recording, self.specs)

    @cached_property
    def places(self) -> dict[fx.Node, Any]:
        return places_of(self.recording, self.batch) if self.batch else {}

    @cached_property
    def attentions(self) -> dict[fx.Node, fx.Node]:
        return softmax_nodes(self.recording)

    @cached_property
    def branches(self) -> list[GraphBranch]:
        return residual_branches(self.recording, contractions(self.recording))

    @cached_property
    def replay(self) -> Replay:
        return Replay(self.recording)

    @property
    def output_node(self) -> fx.Node:
        return self.replay.outputs[self.output]

    def inputs(self) -> dict[fx.Node, Tensor]:
        """The values of the inputs, by their placeholders in order."""
        from torch.utils._pytree import tree_flatten

        example = self.recording.example
        given = [each for each in tree_flatten((example.args, dict(example.kwargs)))[0] if isinstance(each, Tensor)]
        ordered = [node for node in self.recording.nodes if node in self.recording.inputs]
        return dict(zip(ordered, given, strict=True))


@dataclass
class Measured:
    """What one draw showed.

    Attributes:
        layers: the columns of each layer, by its name.
        blocks: the averaged partial Jacobian norm of each residual branch with its shortcut, by its first layer.
        whole: numbers about the whole network.
        attention: of each attention, by the layer that makes its queries.
        histograms: of the pre-activations of each layer, [bin].
        output: what the model puts out.
        idle_heads: the heads whose weights are all 0.
    """

    layers: dict[str, dict[str, float]] = field(default_factory=dict)
    blocks: dict[str, float] = field(default_factory=dict)
    whole: dict[str, float] = field(default_factory=dict)
    attention: dict[str, dict[str, float]] = field(default_factory=dict)
    histograms: dict[str, Tensor] = field(default_factory=dict)
    output: Tensor | None = None
    idle_heads: tuple[str, ...] = ()


def leaves_of(subject: Subject, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters as leaves of a graph of their own, in float32 on the CPU; they share memory where they can."""
    used = set(subject.recording.parameters.values())
    plain = {name: value.detach().to("cpu", torch.float32) for name, value in params.items() if name in used}
    return {name: value.requires_grad_(value.is_floating_point()) for name, value in plain.items()}


def values_of(subject: Subject, leaves: Mapping[str, Tensor]) -> dict[fx.Node, Tensor]:
    """What the replay needs: parameters and inputs by their placeholders."""
    named = {node: leaves[name] for node, name in subject.recording.parameters.items()}
    return {**named, **dict(written_copies(subject.inputs()))}


@rng.float32_on_cpu()
def measure(subject: Subject, params: Mapping[str, Tensor], seed: int) -> Measured:
    """Measure one draw; see `Diagnosis` for what each number is.

    Beyond what the passes need, memory grows with the largest layer: each is measured as it is computed.

    Args:
        subject: the model and the batch.
        params: the values of all parameters by name; they are not changed.
        seed: of the random vectors that gradients are measured with where there is no loss.
    """
    with rng.isolated(seed, "diagnose"), torch.enable_grad():
        return _Pass(subject, params, seed).measured()


class _Pass:
    def __init__(self, subject: Subject, params: Mapping[str, Tensor], seed: int) -> None:
        self.subject, self.seed = subject, seed
        self.leaves = leaves_of(subject, params)
        self.found = Measured()
        self.parts: dict[str, dict[str, list[float]]] = {layer.name: {} for layer in subject.layers}
        self.is_backward = False
        heads = [layer for layer in subject.layers if layer.is_head]
        self.idle = [head for head in heads if not bool(self.leaves[head.spec.name].detach().any())]
        self.idle = self.idle if len(self.idle) < len(subject.layers) else []

    def measured(self) -> Measured:
        subject, found = self.subject, self.found
        for name, leaf in self.leaves.items():
            leaf.register_post_accumulate_grad_hook(partial(self._weight, name))
        ends = {branch.start for branch in subject.branches} | {branch.sum for branch in subject.branches}
        keep = frozenset(ends | {use.signal for head in self.idle for use in head.uses})
        results = subject.replay.run(values_of(subject, self.leaves), self._watch(keep))
        output = results[subject.output_node]
        found.output = output.detach().clone()
        self._blocks(results)
        self.is_backward = True
        self._scalar(output, results).backward()
        for layer in subject.layers:
            found.layers[layer.name] = {key: _joined(key, each) for key, each in self.parts[layer.name].items()}
        found.idle_heads = tuple(head.name for head in self.idle)
        return found

    def _watch(self, keep: frozenset[fx.Node]) -> Watch:
        before: dict[fx.Node, list[Any]] = {}
        after: dict[fx.Node, list[Any]] = {}
        for layer in self.subject.layers:
            for use in layer.uses:
                if not layer.is_look_up:
                    before.setdefault(use.node, []).append((use.signal, partial(self._inputs, layer, use)))
                after.setdefault(use.output, []).append(partial(self._outputs, layer, use))
                after.setdefault(use.normalised, []).append(partial(self._normalised, layer, use))
                if use.entry is not None:
                    after.setdefault(use.entry, []).append(partial(self._entry, layer, use))
        for node, query in self.subject.attentions.items():
            if is_fused(node):
                held: dict[Any, Any] = {**dict(enumerate(node.args)), **node.kwargs}
                for place, each in held.items():
                    if isinstance(each, fx.Node):
                        before.setdefault(node, []).append((each, partial(held.__setitem__, place)))
                after.setdefault(node, []).append(partial(self._fused, node, query, held))
            else:
                after.setdefault(node, []).append(partial(self._weights, query))
        return Watch(before, after, keep)

    def _add(self, layer: Layer, **numbers: float) -> None:
        for name, number in numbers.items():
            self.parts[layer.name].setdefault(name, []).append(number)

    @torch.no_grad()
    def _inputs(self, layer: Layer, use: Use, signal: Tensor) -> None:
        is_real = signal.is_floating_point() or signal.is_complex()
        signal = signal.detach() if is_real else signal.float()
        self._add(layer, q_in=statistics.mean_square(signal))
        if use is layer.uses[0]:
            units = 1 if layer.is_convolution else -1
            split = by_example(signal, self.subject.places.get(use.signal), self.subject.batch, units)
            if split is not None:
                split = statistics.thinned(split)
                self._add(layer, c_in=statistics.correlation(split))
                if not layer.is_convolution:
                    self._add(layer, token_cosine=statistics.token_cosine(split))

    @torch.no_grad()
    def _outputs(self, layer: Layer, use: Use, output: Tensor) -> None:
        values = output.detach()
        self._add(layer, q=statistics.mean_square(values))
        self._add(layer, units=float(values.shape[use.units]))
        split = by_example(values, self.subject.places.get(use.output), self.subject.batch, use.units)
        if split is None:  # rows are still outputs of the same units
            split = values.movedim(use.units, -1).reshape(1, -1, values.shape[use.units])
        split = statistics.thinned(split)
        self._add(layer, c=statistics.correlation(split), input_share=statistics.input_share(split))
        self._add(layer, duplicates=statistics.duplicate_share(split))
        self._add(layer, effective_rank=statistics.effective_rank(split))
        if use is layer.uses[0]:
            self.found.histograms[layer.name] = statistics.histogram(split)

    def _normalised(self, layer: Layer, use: Use, values: Tensor) -> None:
        """The gradient behind a norm right after a layer: before it, it depends on the size of the weight."""
        if use.normalised is not use.output:
            self._add(layer, q_norm=statistics.mean_square(values))
        if values.requires_grad:
            values.register_hook(partial(self._gradient, layer))

    @torch.no_grad()
    def _entry(self, layer: Layer, use: Use, values: Any) -> None:
        phi = layer.spec.nonlinearity
        if phi is None or not isinstance(values, Tensor):
            return
        values = values.detach()
        units = use.units if values.ndim > 1 else -1
        self._add(layer, dead=statistics.dead_share(values, phi, units))
        self._add(layer, saturated=statistics.saturated_share(values, phi))

    def _gradient(self, layer: Layer, gradient: Tensor) -> None:
        if self.is_backward:
            norm = float(torch.linalg.vector_norm(gradient.detach()).double())
            self._add(layer, gradient=norm / math.sqrt(gradient.numel()), gradient_norm=norm)

    def _weight(self, name: str, leaf: Tensor) -> None:
        """The gradient of a parameter, which is let go of at once."""
        gradient, leaf.grad = leaf.grad, None
        owners = [each for each in self.subject.layers if each.spec.name == name]
        if not owners or gradient is None:
            return
        norm = float(torch.linalg.vector_norm(gradient).double())
        weight = float(torch.linalg.vector_norm(leaf.detach()).double())
        moved = self.subject.lr * math.sqrt(int(gradient.count_nonzero()))
        for layer in owners:
            self._add(layer, gradient_to_weight=norm / weight if weight else math.inf if norm else math.nan)
            self._add(layer, update_to_weight=moved / weight if weight else math.inf if norm else math.nan)

    def _fused(self, node: fx.Node, query: fx.Node, held: dict[Any, Any], _: Any) -> None:
        operands = [held[place] for place in range(len(node.args))]
        self._spread(query, fused_spread(node, operands, {name: held[name] for name in node.kwargs}))
        held.clear()

    def _weights(self, query: fx.Node, weights: Tensor) -> None:
        self._spread(query, spread(weights))

    def _spread(self, query: fx.Node, found: Spread) -> None:
        maker = _maker(query, self.subject.layers)
        self.found.attention.setdefault(maker, vars(found))

    def _blocks(self, results: Mapping[fx.Node, Any]) -> None:
        """E[|J^T u|^2] / outputs, u ~ N(0, 1) of the outputs of each branch and shortcut: one probe a draw."""
        generator = rng.generator(self.seed, "diagnose", "blocks")
        for branch in self.subject.branches:
            start, end = results[branch.start], results[branch.sum]
            name = short(branch.uses[0].parameters[0])
            if not (isinstance(start, Tensor) and start.requires_grad and end.requires_grad):
                continue
            probe = torch.randn(end.shape, generator=generator)
            (back,) = torch.autograd.grad(end, start, probe, retain_graph=True, allow_unused=True)
            if back is not None:
                self.found.blocks[name] = float(back.square().sum()) / end.numel()

    def _scalar(self, output: Tensor, results: Mapping[fx.Node, Any]) -> Tensor:
        """What is differentiated: the mean loss, or a random direction of the outputs.

        Behind a head whose weights are 0 all gradients are 0 in the first step, by design: a random direction of what
        goes into the head stands in there.
        """
        generator = rng.generator(self.seed, "diagnose", "direction")

        def direction(values: Tensor) -> Tensor:
            probe = torch.randn(values.shape, generator=generator)
            return (values * probe).sum() / math.sqrt(max(values.numel(), 1) * max(self.subject.batch, 1))

        total = self.subject.loss(output) if self.subject.loss else direction(output)
        self.found.whole["loss"] = float(total.detach()) if self.subject.loss else math.nan
        for head in self.idle:
            for use in head.uses:
                if results[use.signal].requires_grad:
                    total = total + direction(results[use.signal])
        return total


def _maker(node: fx.Node, layers: Sequence[Layer]) -> str:
    """The layer whose output a node is made of, the nearest one behind it; the name of the node where there is none."""
    outputs = {use.output: layer.name for layer in layers for use in layer.uses}
    waiting, seen = [node], set[fx.Node]()
    while waiting:
        each = waiting.pop(0)
        if each in outputs:
            return outputs[each]
        if each not in seen:
            seen.add(each)
            waiting += each.all_input_nodes
    return str(node)


def _joined(name: str, values: Sequence[float]) -> float:
    """One number of the uses of a layer: sums of squares for norms, else the mean of what is known."""
    if name == "gradient_norm":
        return math.sqrt(sum(each * each for each in values))
    known = [each for each in values if not math.isnan(each)]
    return sum(known) / len(known) if known else math.nan
