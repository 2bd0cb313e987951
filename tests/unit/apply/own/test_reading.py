"""Data of a person: every form becomes the same tensors, and what does not fit is refused in a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from initsuite.apply.own import reading
from initsuite.apply.own.examples import examples_of
from initsuite.apply.own.reading import read
from initsuite.errors import ConfigError, InitsuiteError

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(60) % 3


class Items(Dataset):
    def __init__(self, count: int = 60) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return X[index], int(Y[index])


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        yield from ((X[index], int(Y[index])) for index in range(60))


class Ragged(Items):
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return X[index, : 1 + index % 4], int(Y[index])


class Random(Items):
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return X[index] + torch.randn(4), int(Y[index])


class Numbered:
    """Items by number, as a data set of another library has them."""

    def __len__(self) -> int:
        return 60

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return X[index], int(Y[index])


def padded(items: list[Any]) -> tuple[Tensor, Tensor]:
    rows, labels = zip(*items, strict=True)
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True), torch.tensor(labels)


def quiet(line: str) -> None:
    pass


FORMS = {
    "tensors": (X, Y),
    "arrays": (X.numpy().astype(np.float64), Y.numpy().astype(np.int32)),
    "a table": (pd.DataFrame(X.numpy()), pd.Series(Y.numpy())),
    "lists": (X.tolist(), Y.tolist()),
    "a Dataset": TensorDataset(X, Y),
    "a Dataset of one's own": Items(),
    "items by number": Numbered(),
    "a shuffled loader": DataLoader(Items(), batch_size=16, shuffle=True),
    "a stream": Stream(),
    "a loader of a stream": DataLoader(Stream(), batch_size=16),
}


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_tensors(data: Any) -> None:
    found = read(data, quiet).parts["train"]
    torch.testing.assert_close(found.inputs, X)
    assert torch.equal(found.targets, Y)
    assert (found.inputs.dtype, found.targets.dtype) == (torch.float32, torch.int64)


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)
def test_the_fingerprint_is_that_of_the_tensors(data: Any) -> None:
    made = [examples_of(read(each, quiet)).dataset.fingerprint for each in (data, data, (X, Y))]
    assert len(set(made)) == 1
    assert len(made[0]) == 64
    assert examples_of(read((X + 1, Y), quiet)).dataset.fingerprint != made[0]


def test_the_batch_size_is_that_of_the_loader() -> None:
    assert examples_of(read(DataLoader(Items(), batch_size=16), quiet)).batch_size == 16
    assert examples_of(read((X, Y), quiet)).batch_size == 40  # all there are for training


def test_the_split_is_fixed_and_stratified() -> None:
    one, again = (examples_of(read((X, Y), quiet)).dataset for _ in range(2))
    assert [len(split) for split in (one.train, one.validation, one.test)] == [40, 10, 10]
    assert torch.equal(one.test.inputs, again.test.inputs)
    for split in (one.train, one.validation, one.test):
        off = split.targets.bincount(minlength=3) - len(split) / 3
        assert (
            off.abs().max() <= 1 + 1
        )  # `stratified_order`: each end of a piece is off by at most 1/2 + C n_c / (2 n) = 1


def test_parts_of_ones_own_stay_as_they_are() -> None:
    train, validation, test = (X[:40], Y[:40]), (X[40:50], Y[40:50]), (X[50:], Y[50:])
    for data in ((train, validation, test), {"test": test, "val": validation, "train": train}):
        found = examples_of(read(data, quiet)).dataset
        assert torch.equal(found.validation.inputs, X[40:50])
        assert torch.equal(found.test.inputs, X[50:])
    tables = tuple((pd.DataFrame(x.numpy()), pd.Series(y.numpy())) for x, y in (train, validation, test))
    lists = tuple((x.tolist(), y.tolist()) for x, y in (train, validation, test))
    for data in (tables, lists):
        torch.testing.assert_close(examples_of(read(data, quiet)).dataset.test.inputs, X[50:])
    halved = examples_of(read((train, (X[40:], Y[40:])), quiet))
    assert (len(halved.dataset.validation), len(halved.dataset.test)) == (10, 10)
    assert "cut in half" in halved.notes[0]
    loaders = examples_of(read((DataLoader(Items()), DataLoader(Items(30))), quiet)).dataset
    assert [len(split) for split in (loaders.train, loaders.validation, loaders.test)] == [60, 15, 15]


def test_several_inputs_and_none_but_inputs() -> None:
    found = read(TensorDataset(X, X + 1, Y), quiet).parts["train"]
    assert isinstance(found.inputs, tuple)
    assert torch.equal(found.targets, Y)
    batch = read({"input_ids": Y[:, None], "labels": Y[:, None]}, quiet).parts["train"]
    assert batch.targets is None
    assert set(batch.inputs) == {"input_ids", "labels"}
    assert len(examples_of(read({"input_ids": Y[:, None]}, quiet)).dataset.train) == 40
    assert read(Y[:, None], quiet).parts["train"].targets is None


def test_padding_by_collate_is_to_one_length() -> None:
    found = read(DataLoader(Ragged(), batch_size=7, collate_fn=padded), quiet).parts["train"]
    assert found.inputs.shape == (60, 4)
    with pytest.raises(InitsuiteError, match="Pad or crop them"):
        read(Ragged(), quiet)


def test_random_items_are_read_once_the_same_each_time() -> None:
    one, other = read(Random(), quiet), read(Random(), quiet)
    assert torch.equal(one.parts["train"].inputs, other.parts["train"].inputs)
    assert "random augmentation" in one.notes[0]
    assert not read(Items(), quiet).notes


def test_what_does_not_fit_is_refused_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "least_free", lambda devices: (4 * 4 * 2 * 30, "cpu"))
    seen = []

    class Counted(Items):
        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            seen.append(index)
            return super().__getitem__(index)

    with pytest.raises(ConfigError, match=r"does not fit into memory: 60 items .* Give a part of it"):
        read(Counted(), quiet)
    assert len(seen) < 20


def test_reading_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SAY_EVERY_S", -1.0)
    lines: list[str] = []
    read(Items(), lines.append)
    assert lines[-1] == "Reading Items: 60 of 60 items."


BAD = {
    "of unequal lengths": ((X, Y[:-1]), "unequal numbers of examples .* inputs 60, targets 59"),
    "empty": ((X[:0], Y[:0]), "no examples"),
    "an empty Dataset": (Items(0), "empty Items"),
    "with NaN": (
        (torch.where(torch.arange(60)[:, None] == 7, torch.nan, X), Y),
        "1 of 60 examples, the first at index 7",
    ),
    "too few": ((X[:3], Y[:3]), "at least 6"),
    "of another shape": (
        ((X, Y), (X[:, :2], Y)),
        r"validation inputs.*float32 \[2\].*float32 \[4\], as in the training",
    ),
    "words": ((np.array([["a"]]), np.array([0])), "an array of <U1"),
    "lists of words": (([[1.0], [2.0]], ["a", "b"]), "an array of <U1"),
    "ragged lists": (([[1.0], [2.0, 3.0]], [0, 1]), "lists of unequal length"),
    "three tensors": ((X, X, Y), r"a tuple of their own: \(\(first, second\), targets\)"),
    "of another kind": (object(), "of type object. Expected"),
    "without a training part": ({"validation": (X, Y)}, "a part called train"),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_bad_data_gives_one_line(data: Any, message: str) -> None:
    with pytest.raises(InitsuiteError, match=message) as raised:
        examples_of(read(data, quiet))
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("compare: ")


def test_a_word_on_inputs_of_another_scale() -> None:
    assert "root mean square of" in examples_of(read((100 * X, Y), quiet)).notes[-1]
    assert len(examples_of(read((X, Y), quiet)).notes) == 1


def test_the_data_of_a_person_are_not_changed() -> None:
    array = np.arange(60.0).reshape(60, 1)
    found = read((array, Y.numpy()), quiet).parts["train"]
    found.inputs.zero_()
    assert array[5, 0] == 5
