"""What a data set is to the engine: three splits of tensors and the size of the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from initsuite.errors import bad_value

Tree = Any
"""A tensor [example, ...], or a tuple, list or dictionary of trees."""


def map_tree(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """The tree with each of its tensors replaced; None stays None."""
    return function(tree) if isinstance(tree, Tensor) else tree_map_only(Tensor, function, tree)


def tensors_of(tree: Tree) -> list[Tensor]:
    """The tensors in a tree, in a fixed order."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


@dataclass(frozen=True, eq=False)
class Split:
    """Examples in memory.

    Those of a data set of the suite are two tensors. A person's own may be trees of tensors, each with the examples
    first; their values are not checked here.

    Attributes:
        inputs: [example, ...], float32, standardised by the training split unless the data set says otherwise; or
            [example, time], int64 token indices. A tuple or list holds the arguments of the model in their order, a
            dictionary by their names.
        targets: [example], int64 class indices; [example, time], int64, one for each time; or [example, output],
            float32 values. None where a loss of one's own finds what it needs in the inputs.
    """

    inputs: Tree
    targets: Tree

    def __len__(self) -> int:
        return len(tensors_of((self.targets, self.inputs))[0])

    def complete(self) -> Split:
        """With the inputs as targets where there are none."""
        return Split(self.inputs, self.inputs) if self.targets is None else self

    def map(self, function: Callable[[Tensor], Tensor]) -> Split:
        """The split with each of its tensors replaced."""
        return Split(map_tree(function, self.inputs), map_tree(function, self.targets))

    def parts(self, size: int) -> Iterator[Split]:
        """The split in consecutive parts of so many examples, the last one perhaps smaller."""
        for start in range(0, len(self), size):
            yield self.map(lambda tensor, start=start: tensor[start : start + size])


@dataclass(frozen=True)
class Dataset:
    """Training, validation and test splits. Validation chooses; test is read once, by scoring trials.

    Attributes:
        num_outputs: classes, tokens or values that a model gives for an example.
        fingerprint: hash of the examples where the options of the data set do not fix them, such as the content of a
            user's file; else "".
    """

    train: Split
    validation: Split
    test: Split
    num_outputs: int
    fingerprint: str = ""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example, without the batch axis."""
        return tuple(self.train.inputs.shape[1:])


Maker = TypeVar("Maker", bound=Callable[..., Dataset])


OWN_FILES = "own_files"
"""The option that says that files are a person's own, in the format of a published data set."""


def fixed_by_options(maker: Maker) -> Maker:
    """Mark a function whose options say which examples it returns: its data sets have no `fingerprint`.

    What is stored of such a data set is found without reading its files. Of what it reads, every bit is checked.
    """
    maker.is_fixed_by_options = True  # type: ignore[attr-defined]
    return maker


def read_from_files(maker: Maker) -> Maker:
    """Mark a function whose examples are fixed by its options unless one of them is `own_files`, which came later than
    the first trials that are stored: false, it is part of no id."""
    maker.added_options = {OWN_FILES: False}  # type: ignore[attr-defined]
    return fixed_by_options(maker)


def has_fixed_examples(maker: Callable[..., Any], options: Mapping[str, Any]) -> bool:
    """Whether these options say which examples a function returns, whatever lies on this machine."""
    return getattr(maker, "is_fixed_by_options", False) and not options.get(OWN_FILES)


def check_dataset(dataset: object, where: str) -> Dataset:
    """Pass on what a user's own function returned, if the engine can train on it.

    Args:
        dataset: what was returned.
        where: name of the function, for the message.

    Raises:
        ConfigError: not a `Dataset`, or a split with wrong types, shapes or targets.
    """
    if not isinstance(dataset, Dataset):
        fix = "Return initsuite.data.base.Dataset(train=Split(inputs, targets), ..., num_outputs=10)."
        raise bad_value(where, "return value", type(dataset).__name__, "a Dataset", fix)
    num_outputs = dataset.num_outputs
    if isinstance(num_outputs, bool) or not isinstance(num_outputs, int) or num_outputs < 1:
        raise bad_value(where, "num_outputs", num_outputs, "a number of classes from 2, or of values from 1")
    for name in ("train", "validation", "test"):
        split = getattr(dataset, name)
        if not isinstance(split, Split):
            raise bad_value(where, name, type(split).__name__, "a Split(inputs, targets)")
        _check_inputs(split, where, name, num_outputs)
        _check_targets(split, where, name, num_outputs)
        for kind in ("inputs", "targets"):
            _check_alike(getattr(split, kind), getattr(dataset.train, kind), where, f"{name}.{kind}")
    return dataset


def _check_alike(tensor: Tensor, training: Tensor, where: str, name: str) -> None:
    """Refuse a split whose examples differ in kind from those of the training split, which was checked before."""
    if tensor.shape[1:] != training.shape[1:]:
        expected = f"{list(training.shape[1:])}, the shape of one training example"
        raise bad_value(where, f"{name}.shape[1:]", list(tensor.shape[1:]), expected)
    if tensor.dtype != training.dtype:
        raise bad_value(where, name, str(tensor.dtype), f"{training.dtype}, as in the training split")


def _dtype(tensor: object) -> str:
    return str(getattr(tensor, "dtype", type(tensor).__name__))


def _check_inputs(split: Split, where: str, name: str, num_outputs: int) -> None:
    inputs = split.inputs
    if not isinstance(inputs, Tensor) or inputs.dtype not in (torch.float32, torch.int64):
        fix = "initsuite.data.splits.standardise makes float32 inputs of mean 0 and std 1."
        expected = "a torch.float32 tensor, or one of torch.int64 tokens"
        raise bad_value(where, f"{name}.inputs", _dtype(inputs), expected, fix)
    if inputs.ndim < 2 or len(inputs) == 0:
        expected = "[example, channel, height, width], [example, feature] or [example, time], at least one example"
        raise bad_value(where, f"{name}.inputs.shape", list(inputs.shape), expected)
    if inputs.dtype == torch.int64:
        _check_indices(inputs, where, f"{name}.inputs", num_outputs, "token")
    elif not inputs.isfinite().all():
        fix = "A constant feature divided by its std does this; initsuite.data.splits.standardise guards against it."
        raise bad_value(where, f"{name}.inputs", "NaN or infinity", "finite values", fix)


def _check_targets(split: Split, where: str, name: str, num_outputs: int) -> None:
    targets, num_examples = split.targets, len(split.inputs)
    if not isinstance(targets, Tensor) or targets.dtype not in (torch.float32, torch.int64):
        expected = "a torch.int64 tensor of class indices, or a torch.float32 one of values"
        raise bad_value(where, f"{name}.targets", _dtype(targets), expected, "Use `.long()` or `.float()`.")
    if targets.dtype == torch.float32:
        if targets.shape != (num_examples, num_outputs):
            expected = f"{[num_examples, num_outputs]}, num_outputs values for each example"
            fix = "Class indices are int64: use `.long()`."
            raise bad_value(where, f"{name}.targets.shape", list(targets.shape), expected, fix)
        if not targets.isfinite().all():
            raise bad_value(where, f"{name}.targets", "NaN or infinity", "finite values")
        return
    if num_outputs < 2:
        raise bad_value(where, "num_outputs", num_outputs, "a number of classes from 2")
    is_sequence = split.inputs.dtype == torch.int64
    shape = split.inputs.shape[:2] if is_sequence and targets.ndim == 2 else split.inputs.shape[:1]
    if targets.shape != shape:
        expected = f"{[num_examples]}, one class index for each example"
        raise bad_value(where, f"{name}.targets.shape", list(targets.shape), expected)
    _check_indices(targets, where, f"{name}.targets", num_outputs, "class")


def _check_indices(indices: Tensor, where: str, name: str, num_outputs: int, kind: str) -> None:
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= num_outputs:
        plural = "classes" if kind == "class" else "tokens"
        fix = f"Count {plural} from 0, or raise num_outputs."
        raise bad_value(where, name, f"{low} to {high}", f"{kind} indices 0 to {num_outputs - 1}", fix)
