"""A forward pass of a real model, watched at the operations that torch runs: which weight meets which signal.

Nothing here knows a layer by its class or its name, and nothing is shared with `initsuite.models.describe`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MATRIX_PRODUCTS = {"mm": 0, "bmm": 0, "mv": 0, "dot": 0, "addmm": 1, "baddbmm": 1, "addmv": 1, "_grouped_mm": 0}
"""Products of two tensors: the position of the first of them."""
ATTENTION = ("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_attention_math")
LOOKUPS = {"embedding": (0, 1), "index_select": (0, 2), "index": (0, 1), "_embedding_bag": (0, 1),
           "_embedding_bag_forward_only": (0, 1)}  # fmt: skip
"""Rows of a table by number: the positions of the table and of the numbers."""
NORMS = ("native_layer_norm", "native_batch_norm", "_native_batch_norm_legit_no_training", "native_group_norm",
         "_native_batch_norm_legit", "cudnn_batch_norm", "_fused_rms_norm", "batch_norm", "layer_norm",
         "native_batch_norm_legit_no_training")  # fmt: skip
"""Operations that make the mean 0 or the mean square 1, which samples of N(0, 1) have already."""
OF_SHAPE = ("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "new_zeros", "new_ones",
            "new_empty", "new_full", "new_empty_strided")  # fmt: skip
"""Operations that read the shape of a tensor and not its values."""

Replace = Callable[["Product", Tensor], Tensor]


@dataclass(frozen=True)
class Origin:
    """Where the values of a tensor come from.

    Attributes:
        is_signal: whether from the inputs of the model.
        products: numbers of the products of weights and signals since the last product on the way.
        parameters: names of the parameters; only kept where it is no signal.
    """

    is_signal: bool = False
    products: frozenset[int] = frozenset()
    parameters: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Product:
    """One operation that multiplies a weight and a signal, or looks rows of a weight up.

    Attributes:
        number: its place among the products.
        matrices: the weight as used, [matrix, output, input x tap].
        parameters: names of the parameters that the weight is computed from.
        taps: of a kernel.
        is_lookup: whether rows are looked up.
        unit_axis: the axis of the result that counts the outputs of one matrix; of a convolution, of all.
    """

    number: int
    matrices: Tensor = field(repr=False)
    parameters: frozenset[str]
    taps: int
    is_lookup: bool
    unit_axis: int


@dataclass(frozen=True)
class Arrival:
    """What an operation that multiplies gets of a signal: the values, and the products that they come from."""

    values: Tensor = field(repr=False)
    products: frozenset[int]


@dataclass
class Watch:
    """What was seen in one forward pass."""

    products: list[Product] = field(default_factory=list)
    results: list[Tensor] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    outputs: frozenset[int] = frozenset()


def watch(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], replace: Replace | None = None) -> Watch:
    """Run a model in evaluation mode and note every product of a weight and a signal.

    Args:
        model: with values.
        args, kwargs: inputs; the tensors among them are the signals.
        replace: what the result of each product is replaced by; norms then pass their inputs through.
    """
    mode = _Watcher(model, [each for each in tree_leaves((args, dict(kwargs))) if isinstance(each, Tensor)], replace)
    with _plain_operations(), torch.no_grad(), mode:
        output = model(*args, **kwargs)
    found = [mode.origin(each) for each in _tensors_in(output)]
    mode.seen.outputs = frozenset(number for origin in found for number in origin.products)
    return mode.seen


@contextmanager
def _plain_operations() -> Iterator[None]:
    """No fused kernels that would hide products, no randomness of its own."""
    fastpath = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.manual_seed(0)
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fastpath)


def _tensors_in(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors_in(each)


class _Watcher(TorchDispatchMode):
    def __init__(self, model: nn.Module, inputs: list[Tensor], replace: Replace | None) -> None:
        super().__init__()
        self.seen, self._replace = Watch(), replace
        self._origins: dict[int, Origin] = {}
        self._alive: list[Tensor] = []  # an address is not given away again while its tensor lives
        for tensor in inputs:
            self._note(tensor, Origin(is_signal=True))
        for name, parameter in model.named_parameters():
            self._note(parameter, Origin(parameters=frozenset([name])))

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        operands = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        if self._replace is not None and name in NORMS:
            return self._passed_through(func, args, kwargs)
        result = func(*args, **kwargs)
        if name in LOOKUPS and self._is_lookup(name, args):
            return self._looked_up(name, args, result)
        if name in LOOKUPS and self._is_choice(args[LOOKUPS[name][0]]):
            self._note(result, self.origin(args[LOOKUPS[name][0]]))
            return result
        factors = _factors(name, args)
        if factors:
            return self._multiplied(name, args, factors, operands, result)
        if name not in OF_SHAPE:
            self._propagate(func, args, operands, result)
        return result

    def origin(self, tensor: Tensor) -> Origin:
        return self._origins.get(tensor.untyped_storage()._cdata, Origin())

    def _note(self, tensor: Tensor, origin: Origin) -> None:
        self._alive.append(tensor)
        self._origins[tensor.untyped_storage()._cdata] = origin

    def _joined(self, tensors: list[Tensor]) -> Origin:
        found = [self.origin(each) for each in tensors]
        is_signal = any(each.is_signal for each in found)
        products = frozenset().union(*(each.products for each in found))
        names = frozenset() if is_signal else frozenset().union(*(each.parameters for each in found))
        return Origin(is_signal, products, names)

    def _propagate(self, func: Any, args: tuple[Any, ...], operands: list[Tensor], result: Any) -> None:
        """Views share the storage, and so the origin, of what they look at; what is written into, too."""
        written = operands[:1] if func._schema.is_mutable else []
        joined = self._joined(operands)
        for tensor in [*written, *(each for each in tree_leaves(result) if isinstance(each, Tensor))]:
            known = self.origin(tensor)
            is_view = any(tensor.untyped_storage()._cdata == each.untyped_storage()._cdata for each in operands)
            if not is_view or written:
                before = [tensor] if known != Origin() else []
                self._note(tensor, self._joined([*operands, *before]) if before else joined)

    def _is_lookup(self, name: str, args: tuple[Any, ...]) -> bool:
        table, numbers = (args[position] for position in LOOKUPS[name])
        numbers = [each for each in tree_leaves(numbers) if isinstance(each, Tensor)]
        origin = self.origin(table)
        is_by_signal = any(self.origin(each).is_signal for each in numbers) or name == "embedding"
        return bool(origin.parameters) and not origin.is_signal and is_by_signal and table.ndim == 2

    def _is_choice(self, table: Tensor) -> bool:
        """Whether matrices are chosen from a stack of them: weights, even if the signal says which."""
        origin = self.origin(table)
        return bool(origin.parameters) and not origin.is_signal and table.ndim > 2

    def _looked_up(self, name: str, args: tuple[Any, ...], result: Any) -> Any:
        table, numbers = (args[position] for position in LOOKUPS[name])
        numbers = [each for each in tree_leaves(numbers) if isinstance(each, Tensor)]
        names = self.origin(table).parameters
        if not any(self.origin(each).is_signal for each in numbers):  # the same rows always: a constant
            self._note(table, self.origin(table))
            self.seen.products.append(Product(len(self.seen.products), table.detach()[None], names, 1, True, -1))
            self.seen.results.append(result)
            self._note(result, Origin(parameters=names))
            return result
        product = Product(len(self.seen.products), table.detach()[None], names, 1, True, -1)
        if isinstance(result, Tensor):
            return self._told(product, result)
        return (self._told(product, result[0]), *result[1:])  # a bag has offsets and sizes, too

    def _multiplied(
        self, name: str, args: tuple[Any, ...], factors: tuple[int, ...], operands: list[Tensor], result: Any
    ) -> Any:
        given = [args[position] for position in factors]
        signals = [each for each in given if self.origin(each).is_signal]
        if not signals:
            self._note(result, self._joined(operands))
            return result
        for each in signals:
            self.seen.arrivals.append(Arrival(each.detach().clone(), self.origin(each).products))
        weights = [(side, each) for side, each in enumerate(given) if not self.origin(each).is_signal]
        named = [(side, each) for side, each in weights if self.origin(each).parameters]
        if len(signals) != 1 or len(named) != 1 or len(given) != 2:
            for each in tree_leaves(result):
                if isinstance(each, Tensor):
                    self._note(each, Origin(is_signal=True))
            return result
        side, weight = named[0]
        matrices = as_matrices(name, weight.detach(), side, args).clone()
        taps = math.prod(weight.shape[2:]) if name == "convolution" else 1
        unit_axis = 1 if name == "convolution" else 0 if name in ("mv", "addmv") else -1 if side else -2
        names = self.origin(weight).parameters
        return self._told(Product(len(self.seen.products), matrices, names, taps, False, unit_axis), result)

    def _told(self, product: Product, result: Tensor) -> Tensor:
        if self._replace is not None:
            result = self._replace(product, result)
        self.seen.products.append(product)
        self.seen.results.append(result)
        self._note(result, Origin(is_signal=True, products=frozenset([product.number])))
        return result

    def _passed_through(self, func: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        """The input of a norm in place of its result; the rest (mean, std) as it is."""
        result = func(*args, **kwargs)
        first = result if isinstance(result, Tensor) else result[0]
        passed = args[0].clone().reshape(first.shape)
        self._note(passed, self.origin(args[0]))
        return passed if isinstance(result, Tensor) else (passed, *result[1:])


def _factors(name: str, args: tuple[Any, ...]) -> tuple[int, ...]:
    """Positions of what an operation multiplies and sums; empty for any other operation."""
    if name in MATRIX_PRODUCTS:
        first = MATRIX_PRODUCTS[name]
        return first, first + 1
    if name in ("convolution", "linear"):
        return 0, 1
    return (0, 1, 2) if name in ATTENTION else ()


def as_matrices(name: str, weight: Tensor, side: int, args: tuple[Any, ...]) -> Tensor:
    """The independent matrices [matrix, output, input x tap] that an operation multiplies by.

    Example:
        >>> as_matrices("mm", torch.zeros(3, 8), 1, ()).shape
        torch.Size([1, 8, 3])
    """
    if name == "convolution":
        is_transposed, groups = args[6], args[8]
        first, second, *kernel = weight.shape
        grouped = weight.reshape(groups, first // groups, second, math.prod(kernel))
        return (grouped.transpose(1, 2) if is_transposed else grouped).flatten(2)
    if name in ("mv", "addmv", "dot"):
        return weight.reshape(1, -1, weight.shape[-1])
    batched = weight if weight.ndim == 3 else weight[None]
    matrices = batched.transpose(1, 2) if side == 1 and name != "linear" else batched
    return torch.unique_consecutive(matrices, dim=0) if len(matrices) > 1 else matrices
