"""A person's data as tensors in memory: from tensors, arrays, a Dataset or a DataLoader."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, IterableDataset, default_collate
from torch.utils.data import Dataset as TorchDataset

from initsuite import rng
from initsuite.data.base import Split, Tree
from initsuite.engine.memory import least_free
from initsuite.errors import ConfigError, InitsuiteError, bad_value
from initsuite.wording import first_line, format_bytes

WHERE = "compare"
PARTS = ("train", "validation", "test")
_OTHER_NAMES = {"val": "validation", "valid": "validation"}
SAY_EVERY_S = 5.0
COPIES = 2
"""Of the data at the same time: the items, and the tensors that are made of them."""
FORMS = (
    "(inputs, targets) as tensors, arrays or lists of numbers; a torch Dataset or DataLoader; a pair or triple of "
    "these for training, validation and test; a dictionary of them by the names train, validation and test; or the "
    "name of a data set"
)
_TYPES = {
    torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.float64: torch.float32,
    torch.uint8: torch.float32, torch.int8: torch.int64, torch.int16: torch.int64, torch.int32: torch.int64,
    torch.bool: torch.int64,
}  # fmt: skip
"""What inputs and targets of a type are trained as; float32, int64 and complex numbers stay as they are."""


@dataclass
class Read:
    """Data in memory.

    Attributes:
        parts: by the names of `PARTS`, those that were given.
        label: what to call the data.
        batch_size: that of a DataLoader; None = not known.
        notes: what to tell the user.
    """

    parts: dict[str, Split] = field(default_factory=dict)
    label: str = "own data"
    batch_size: int | None = None
    notes: list[str] = field(default_factory=list)


def read(data: object, say: Callable[[str], None]) -> Read:
    """Read data into memory, once.

    Args:
        say: shows the user a line.

    Raises:
        ConfigError: data of another form, or more than fits into memory.
        InitsuiteError: a Dataset that raises.
    """
    found, named = Read(), _parts(data)
    for name, part in named.items():
        found.parts[name] = _split(part, name if len(named) > 1 else "", found, say)
    return found


def _parts(data: object) -> dict[str, object]:
    """The data by the name of the part."""
    if isinstance(data, Mapping) and data and {_OTHER_NAMES.get(key, key) for key in data} <= set(PARTS):
        named = {_OTHER_NAMES.get(key, key): part for key, part in data.items()}
        if "train" not in named:
            raise bad_value(WHERE, "data", sorted(data), "a part called train")
        return {name: named[name] for name in PARTS if name in named}
    if isinstance(data, tuple | list) and 2 <= len(data) <= 3 and all(map(_is_part, data)):
        return dict(zip(PARTS, data, strict=False))
    return {"train": data}


def _is_part(thing: object) -> bool:
    """Whether one of several things is data of its own: a pair of arrays is, an array is not."""
    return is_source(thing) or (isinstance(thing, tuple | list) and _is_pair(thing))


def is_source(thing: object) -> bool:
    """Whether items are read from it: a Dataset or DataLoader of torch, or what has numbered items like a Dataset."""
    if isinstance(thing, TorchDataset | DataLoader):
        return True
    is_held = isinstance(thing, Tensor | np.ndarray | Mapping | Sequence) or hasattr(thing, "to_numpy")
    return not is_held and all(hasattr(type(thing), name) for name in ("__getitem__", "__len__"))


def is_list_of_numbers(thing: object) -> bool:
    """Whether it is an array that is written as lists."""
    while isinstance(thing, list) and thing:
        thing = thing[0]
    return isinstance(thing, bool | int | float | str | np.generic)


def _is_pair(thing: Sequence[Any]) -> bool:
    def is_held(each: Any) -> bool:
        is_array = isinstance(each, Tensor | np.ndarray | Mapping | tuple) or hasattr(each, "to_numpy")
        return is_array or (isinstance(thing, tuple) and isinstance(each, list) and is_list_of_numbers(each))

    return len(thing) == 2 and all(map(is_held, thing))


def _split(part: Any, name: str, found: Read, say: Callable[[str], None]) -> Split:
    if is_source(part):
        return _from_torch(part, name, found, say)
    if isinstance(part, Mapping):
        return Split(_tensors(dict(part)), None)
    if isinstance(part, Tensor | np.ndarray):
        return Split(_tensor(part), None)
    if isinstance(part, tuple | list) and len(part) == 2:
        inputs, targets = part
        return Split(_tensors(inputs), _tensors(targets))
    got = f"{type(part).__name__} of {len(part)}" if isinstance(part, tuple | list) else type(part).__name__
    fix = ""
    if isinstance(part, tuple | list) and all(isinstance(each, Tensor | np.ndarray) for each in part):
        fix = " Put several inputs into a tuple of their own: ((first, second), targets)."
    raise ConfigError(f"{WHERE}: bad `data`{f'[{name}]' if name else ''} of type {got}. Expected {FORMS}.{fix}")


def _tensors(tree: Any) -> Any:
    return tree_map(_tensor, tree, is_leaf=is_list_of_numbers)


def _tensor(value: Any) -> Any:
    """A tensor on the CPU, in the type that it is trained as; the caller's is never changed."""
    if hasattr(value, "to_numpy"):  # a table or column of pandas
        value = value.to_numpy()
    if isinstance(value, np.ndarray | np.generic | list | int | float | bool):
        try:
            array = np.asarray(value)
        except ValueError as error:  # rows of unequal length
            raise bad_value(WHERE, "data", "lists of unequal length", "an array", "Pad or crop them.") from error
        if array.dtype.kind not in "biufc":
            raise bad_value(WHERE, "data", f"an array of {array.dtype}", "numbers")
        value = torch.from_numpy(np.array(array))
    if not isinstance(value, Tensor):
        raise ConfigError(f"{WHERE}: bad `data` holding a {type(value).__name__}. Expected {FORMS}.")
    return value.detach().to("cpu", _TYPES.get(value.dtype, value.dtype))


# ---- Dataset and DataLoader -----------------------------------------------------------------------------------------


def _from_torch(source: Any, name: str, found: Read, say: Callable[[str], None]) -> Split:
    """Read each item once, in its order, whatever order a DataLoader would draw."""
    loader = source if isinstance(source, DataLoader) else None
    dataset: Any = source if loader is None else loader.dataset
    if loader is not None and loader.batch_size:
        found.batch_size = found.batch_size or loader.batch_size
    if type(dataset).__name__ not in ("TensorDataset", "Subset", "ConcatDataset"):
        found.label = type(dataset).__name__
    collate: Any = default_collate if loader is None else loader.collate_fn
    is_stream = isinstance(dataset, IterableDataset)
    where = f"{type(dataset).__name__}{f' ({name})' if name else ''}"
    try:
        with rng.isolated(0, "data"):
            if is_stream and loader is not None and loader.batch_size:
                batches = list(_taken(loader, None, where, say))
                batch = _joined(batches, where)
            else:
                count = None if is_stream else len(dataset)
                items = dataset if is_stream else (dataset[index] for index in range(count or 0))
                taken = list(_taken(items, count, where, say))
                _check_some(taken, where)
                if not is_stream:
                    _note_random(dataset, taken, where, found)
                batch = collate(taken)
    except InitsuiteError:
        raise
    except Exception as error:  # a person's code may raise anything
        raise InitsuiteError(
            f"{WHERE}: cannot read {where}. {first_line(error)}. Expected items that `collate_fn` puts together into "
            "tensors of one shape. Pad or crop them, or give tensors."
        ) from error
    return _as_split(batch, where)


def _taken(items: Iterable[Any], count: int | None, where: str, say: Callable[[str], None]) -> Iterator[Any]:
    """The items, with a line from time to time, as long as memory holds them.

    Raises:
        ConfigError: they do not fit.
    """
    taken, begin, free = 0, time.monotonic(), least_free(["cpu"])[0]
    last = begin
    for index, item in enumerate(items):
        taken += sum(each.nbytes for each in tree_leaves(item) if isinstance(each, Tensor | np.ndarray))
        needed = COPIES * taken * ((count or index + 1) / (index + 1))
        if needed > free and (index >= 8 or index + 1 == count):
            how_many = f"{count:,} items" if count else f"{index + 1:,} items and no end"
            raise ConfigError(
                f"{WHERE}: {where} does not fit into memory: {how_many} need about {format_bytes(needed)}, and "
                f"{format_bytes(free)} are free. Give a part of it: torch.utils.data.Subset(dataset, range(10_000))."
            )
        if time.monotonic() - last > SAY_EVERY_S:
            last = time.monotonic()
            of = f" of {count:,}" if count else ""
            say(f"Reading {where}: {index + 1:,}{of} items.")
        yield item


def _note_random(dataset: Any, taken: list[Any], where: str, found: Read) -> None:
    """Say so where an item is not the same when it is read again."""
    again, first = tree_leaves(dataset[0]), tree_leaves(taken[0])
    if len(again) != len(first) or any(not _is_equal(a, b) for a, b in zip(first, again, strict=True)):
        found.notes.append(
            f"{where}: an item differs each time it is read (random augmentation?). One reading of each is used, the "
            "same in every epoch and for every initializer."
        )


def _is_equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return type(one) is type(other) and bool(one == other)


def _joined(batches: list[Any], where: str) -> Any:
    _check_some(batches, where)
    first, *_ = batches
    if isinstance(first, Mapping):
        return {key: _joined([batch[key] for batch in batches], where) for key in first}
    if isinstance(first, tuple | list):
        return [_joined([batch[index] for batch in batches], where) for index in range(len(first))]
    return torch.cat(batches)


def _check_some(taken: list[Any], where: str) -> None:
    if not taken:
        raise bad_value(WHERE, "data", f"an empty {where}", "at least one example")


def _as_split(batch: Any, where: str) -> Split:
    """A batch as inputs and targets: the last of several entries are the targets, a dictionary has them inside."""
    if isinstance(batch, tuple | list) and len(batch) > 1:
        *inputs, targets = batch
        whole: Tree = inputs[0] if len(inputs) == 1 else tuple(inputs)
        return Split(_tensors(whole), _tensors(targets))
    if isinstance(batch, tuple | list):
        _check_some([*batch], where)
        batch = next(iter(batch))
    return Split(_tensors(dict(batch) if isinstance(batch, Mapping) else batch), None)
