"""A recorded forward pass, computed again on values: each result can be seen, and is let go of after its last use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx

from initsuite.errors import InitsuiteError, is_out_of_memory
from initsuite.models.describe.graph.contractions import operation, shape_of
from initsuite.models.describe.graph.flow import ATTENTION
from initsuite.models.describe.graph.recording import Recording
from initsuite.wording import first_line

See = Callable[[Any], None]
"""Is shown the result of an operation."""
NORM_IN_TRAINING = ("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_functional")
"""Batch norms that take (input, scale, shift, running mean, running variance, is_training, ...)."""


@dataclass(frozen=True)
class Watch:
    """Who is shown what.

    Attributes:
        before: called with the operand right before an operation, by the operation and its operand.
        after: called with the result of an operation.
        keep: operations whose results are returned.
    """

    before: Mapping[fx.Node, Sequence[tuple[fx.Node, See]]] = field(default_factory=dict)
    after: Mapping[fx.Node, Sequence[See]] = field(default_factory=dict)
    keep: frozenset[fx.Node] = frozenset()


class Replay:
    """Carries a recording out.

    The results are those of the model itself on the inputs of the recording, whatever the values of its parameters,
    unless what is computed depends on them (a loop until something converges). They are part of a graph wherever a
    parameter or input requires a gradient. Operations that write in place do so here as well, into copies of buffers
    and inputs; the running statistics of batch norm are not kept.

    Args:
        recording: the forward pass.
        twice: compute fused attention in steps, which can be differentiated twice and forwards.
    """

    def __init__(self, recording: Recording, *, twice: bool = False) -> None:
        self.recording, self.twice = recording, twice
        self._joined = {node for node in recording.nodes if _is_join(node)}
        self._one_matrix = {node: each for node in recording.nodes if (each := _only_matrix(node))}

    @cached_property
    def outputs(self) -> list[fx.Node]:
        """What makes each tensor that the model returns."""
        (found,) = self.recording.nodes[-1].args
        return [each for each in found if isinstance(each, fx.Node)]  # type: ignore[union-attr]

    @cached_property
    def _done_after(self) -> Mapping[fx.Node, list[fx.Node]]:
        """The nodes that nothing needs any more, by the node after which that is so."""
        last = {each: node for node in self.recording.nodes for each in node.all_input_nodes}
        last |= {each: max(last[each], node) for node, each in self._one_matrix.items()}
        done: dict[fx.Node, list[fx.Node]] = {}
        for each, node in last.items():
            done.setdefault(node, []).append(each)
        return done

    @cached_property
    def without_values(self) -> list[fx.Node]:
        """Constants that the recording does not hold; such a pass cannot be carried out."""
        known = self.recording.constants
        return [node for node in known if known[node] is None or known[node].is_meta]  # type: ignore[union-attr]

    def run(self, values: Mapping[fx.Node, Tensor], watch: Watch | None = None) -> dict[fx.Node, Any]:
        """Carry out the pass.

        Args:
            values: of parameters and inputs, by their placeholders.
            watch: who is shown what.

        Returns:
            The results in `keep`, and those that make the outputs.
        """
        watch = watch or Watch()
        kept = watch.keep.union(self.outputs)
        env: dict[fx.Node, Any] = {}
        for node in self.recording.nodes:
            if node.op == "output":
                break
            for operand, see in watch.before.get(node, ()):
                see(env[operand])
            env[node] = values[node] if node in values else self._computed(node, env)
            for see in watch.after.get(node, ()):
                see(env[node])
            for each in self._done_after.get(node, ()):
                if each not in kept:
                    del env[each]
        return {node: env[node] for node in kept}

    def _computed(self, node: fx.Node, env: Mapping[fx.Node, Any]) -> Any:
        """The result of a node.

        Raises:
            InitsuiteError: torch refuses what recording, which sees no numbers, has taken.
        """
        try:
            return self._result(node, env)
        except (RuntimeError, IndexError) as error:
            if is_out_of_memory(error):
                raise
            raise InitsuiteError(
                f"diagnose: the forward pass fails at {operation(node)}: {first_line(error)}. Expected inputs that the "
                "model computes with."
            ) from error

    def _result(self, node: fx.Node, env: Mapping[fx.Node, Any]) -> Any:
        if node in self.recording.constants:
            value = self.recording.constants[node]
            return value.detach().clone() if value is not None and _is_written(node) else value
        if node in self._joined:
            return env[node.args[0]]  # type: ignore[index]
        if node in self._one_matrix:
            first = env[node.args[0]]  # type: ignore[index]
            return (first.reshape(-1, first.shape[-1]) @ env[self._one_matrix[node]]).view(*first.shape[:2], -1)
        args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), env.__getitem__)
        name = operation(node)
        if name in NORM_IN_TRAINING and args[5]:
            args = (*args[:3], None, None, *args[5:])
            return torch.ops.aten.native_batch_norm.default(*args)
        if self.twice and name.startswith(ATTENTION):
            return _in_steps(node, args, kwargs)
        return node.target(*args, **kwargs)  # type: ignore[operator]


def _is_join(node: fx.Node) -> bool:
    """Whether a node only says in the recording that a tensor was written to through a view of it."""
    if operation(node) != "copy" or len(node.args) != 2 or not isinstance(node.args[1], fx.Node):
        return False
    return getattr(getattr(node.args[1].target, "_schema", None), "is_mutable", False)


def _only_matrix(node: fx.Node) -> fx.Node | None:
    """The one matrix [input, output] that a batched product multiplies all of its batch by; None where there are more.

    Where nothing needs a gradient, as in a recording, torch does not merge the batch into the rows of one product. Here
    it must be: the gradient would first be made for each of the batch, and each is as large as the weight.
    """
    if operation(node) != "bmm":
        return None
    wanted = shape_of(node.args[1])[1:]  # type: ignore[arg-type]
    each = node.args[1]
    while isinstance(each, fx.Node) and operation(each) in ("expand", "view", "_unsafe_view", "unsqueeze"):
        each = each.args[0]
    is_one = isinstance(each, fx.Node) and each is not node.args[1] and shape_of(each) == wanted
    return each if is_one else None  # type: ignore[return-value]


def _is_written(node: fx.Node) -> bool:
    """Whether an operation writes into a tensor, or into a view of it."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        for user in each.users:
            if getattr(getattr(user.target, "_schema", None), "is_mutable", False) and user.args[0] is each:
                return True
            if getattr(user.target, "is_view", False):
                waiting.append(user)
    return False


def _in_steps(node: fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Fused attention as softmax and two products, its result in memory as the fused one: a view of it may follow."""
    query, key, value = args[:3]
    mask, is_causal = attention_options(operation(node), args, kwargs)
    strides = node.meta["val"][0].stride()
    order = sorted(range(len(strides)), key=lambda axis: -strides[axis])
    output, *others = torch.ops.aten._scaled_dot_product_attention_math.default(
        query, key, value, mask, 0.0, is_causal, scale=kwargs.get("scale")
    )
    back = [order.index(axis) for axis in range(len(order))]
    return output.permute(order).contiguous().permute(back), *others


def attention_options(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Tensor | None, bool]:
    """The mask of a fused attention, and whether each query sees the keys up to its own place alone."""
    given = getattr(torch.ops.aten, name)
    schema = getattr(given, given.overloads()[0])._schema.arguments
    named = {argument.name: value for argument, value in zip(schema, args, strict=False)} | dict(kwargs)
    return named.get("attn_mask", named.get("attn_bias")), bool(named.get("is_causal", False))


def written_copies(values: Mapping[fx.Node, Tensor]) -> Iterator[tuple[fx.Node, Tensor]]:
    """Inputs, those that the pass writes into as copies."""
    for node, value in values.items():
        yield node, value.clone() if _is_written(node) else value
