"""A person's examples as a data set: checked, cut into fixed splits, and given a fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten_with_path, tree_leaves

from initsuite.apply.own.reading import PARTS, WHERE, Read
from initsuite.apply.own.sources import digest_of
from initsuite.data.base import Dataset, Split
from initsuite.data.splits import stratified_split
from initsuite.errors import ConfigError, bad_value

HELD_OUT = 6
"""A sixth of the examples is for validation and a sixth for test, as in the embedded digits."""
USUAL_SCALE = (0.05, 20.0)
"""Root mean squares of inputs outside of this are worth a word: initializers are made for inputs of about 1."""


@dataclass(frozen=True)
class Examples:
    """A data set, with what to say about it.

    Attributes:
        dataset: `num_outputs` is 1 until the model says more.
        label: what to call it.
        batch_size: examples per step.
        notes: lines for the user.
    """

    dataset: Dataset
    label: str
    batch_size: int
    notes: tuple[str, ...]


def examples_of(read: Read) -> Examples:
    """Check what was read, and cut off the parts that it lacks.

    Raises:
        ConfigError: no examples, unequal lengths, parts that differ in kind, or numbers that are not finite.
    """
    for name, split in read.parts.items():
        _check_part(name if len(read.parts) > 1 else "data", split)
    for name in list(read.parts)[1:]:
        _check_alike(name, read.parts[name], read.parts["train"])
    splits, note = _cut(dict(read.parts))
    dataset = Dataset(*(splits[name] for name in PARTS), num_outputs=1, fingerprint=_fingerprint(splits))
    size = min(read.batch_size or 64, len(dataset.train))
    return Examples(dataset, read.label, size, (note, *read.notes, *_about_scale(dataset.train)))


def _check_part(name: str, split: Split) -> None:
    leaves = list(_named_leaves(split))
    if not leaves or not len(split):
        raise bad_value(WHERE, name, "no examples", "at least one example")
    for where, tensor in leaves:
        if tensor.ndim == 0:
            raise bad_value(WHERE, f"{name} {where}", "a single number", "a tensor with the examples first")
    lengths = {where: len(tensor) for where, tensor in leaves}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{where} {length:,}" for where, length in lengths.items())
        raise ConfigError(
            f"{WHERE}: unequal numbers of examples in `{name}`: {listed}. Expected one target for each input."
        )
    for where, tensor in leaves:
        if tensor.is_floating_point() and not tensor.isfinite().all():
            bad = ~tensor.reshape(len(tensor), -1).isfinite().all(1)
            raise ConfigError(
                f"{WHERE}: NaN or infinity in the {where} of `{name}`: {int(bad.sum()):,} of {len(tensor):,} examples, "
                f"the first at index {int(bad.nonzero()[0])}. Expected finite numbers. Leave these examples out, or "
                "fill them in."
            )


def _check_alike(name: str, split: Split, training: Split) -> None:
    """Refuse a part whose examples differ in kind from those of the training part."""
    kinds, wanted = ({where: (tensor.dtype, list(tensor.shape[1:])) for where, tensor in _named_leaves(each)}
                     for each in (split, training))  # fmt: skip
    if kinds != wanted:
        where = next(key for key in (*wanted, *kinds) if kinds.get(key) != wanted.get(key))
        got, expected = (f"{each[where][0]} {each[where][1]}" if where in each else "none" for each in (kinds, wanted))
        raise bad_value(WHERE, f"{name} {where}", got, f"{expected}, as in the training part")


def _named_leaves(split: Split) -> Iterator[tuple[str, Tensor]]:
    for name, tree in (("inputs", split.inputs), ("targets", split.targets)):
        for path, leaf in tree_flatten_with_path(tree)[0]:
            if leaf is not None:
                yield name + "".join(map(str, path)), leaf


def _cut(parts: dict[str, Split]) -> tuple[dict[str, Split], str]:
    """The three splits, and how they were made, in words.

    Validation chooses, and test is read once: a single held-out part is halved.
    """
    made: dict[str, Split]
    if len(parts) == 1:
        (whole,) = parts.values()
        held = len(whole) // HELD_OUT
        if held < 1:
            expected = f"at least {HELD_OUT}, of which some are held out"
            raise bad_value(WHERE, "data", f"{len(whole)} examples", expected, "Or give validation data.")
        cut, how = _split(whole, [len(whole) - 2 * held, held, held])
        made = dict(zip(PARTS, cut, strict=True))
        origin = f"a fixed {how} split of your {len(whole):,} examples; give (train, validation) for your own"
    elif "test" not in parts or "validation" not in parts:
        given = "validation" if "validation" in parts else "test"
        half = len(parts[given]) // 2
        if half < 1:
            raise bad_value(WHERE, given, "1 example", "at least 2: half of them validate and half of them test")
        cut, how = _split(parts[given], [len(parts[given]) - half, half])
        made = {"train": parts["train"], **dict(zip(PARTS[1:], cut, strict=True))}
        origin = f"your {given} part, cut in half by a fixed {how} split: one half chooses, the other tests"
    else:
        made, origin = parts, "as you gave them"
    sizes = " / ".join(f"{len(made[name]):,}" for name in PARTS)
    return made, f"Data: {sizes} examples for training / validation / test, {origin}."


def _split(split: Split, sizes: list[int]) -> tuple[list[Split], str]:
    targets = split.targets
    is_classes = isinstance(targets, Tensor) and targets.dtype == torch.int64 and targets.ndim == 1
    strata = targets if is_classes else torch.zeros(len(split), dtype=torch.int64)
    chosen = stratified_split(strata, sizes, seed=0, name="own data")
    return [split.map(lambda tensor, index=index: tensor[index]) for index in chosen], (
        "stratified" if is_classes else "random"
    )


def _fingerprint(splits: dict[str, Split]) -> str:
    """SHA-256 of the bytes, the types and the shapes of all splits."""
    whole = hashlib.sha256()
    for name, split in splits.items():
        for where, tensor in _named_leaves(split):
            whole.update(f"{name} {where} {digest_of(tensor)}\n".encode())
    return whole.hexdigest()


def _about_scale(training: Split) -> Iterator[str]:
    """A word on inputs that are far from the scale that initializers are made for."""
    for tensor in tree_leaves(training.inputs):
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            continue
        rms = float(tensor.double().square().mean().sqrt())
        if not USUAL_SCALE[0] <= rms <= USUAL_SCALE[1]:
            yield (
                f"Your inputs have a root mean square of {rms:.3g}. They are used as they are; initializers are made "
                "for inputs of about 1, so standardise them (subtract the mean, divide by the std) unless you mean it."
            )
