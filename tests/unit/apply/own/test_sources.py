"""Ids hold the source of a person's code, with what it reads."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from initsuite.apply.own.sources import Identity, digest_of

SOURCE = '''\
import torch
from torch import nn

import helpers_of_test

SLOPE = 0.1


def bent(x):
    return torch.where(x > 0, x, SLOPE * x)


class Base(nn.Module):
    def scale(self):
        return 2.0


class Net(Base):
    width = 4

    def forward(self, x):
        return self.scale() * bent(x) + helpers_of_test.offset()


def loss(outputs, targets, weight=1.0):
    """A loss."""
    return weight * (outputs - targets).abs().mean()


around = 3
double = lambda x: 2 * x  # noqa: E731


def made(factor):
    def inner(x):
        return factor * x
    return inner
'''
HELPERS = "def offset():\n    return 1.0\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Writes the two modules and imports them, as a person edits and starts again."""
    monkeypatch.syspath_prepend(tmp_path)

    def written(source: str = SOURCE, helpers: str = HELPERS) -> ModuleType:
        for name, text in (("helpers_of_test", helpers), ("module_of_test", source)):
            (tmp_path / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        import linecache

        linecache.clearcache()
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        try:
            return importlib.import_module("module_of_test")
        finally:
            sys.dont_write_bytecode = before

    yield written
    for name in ("helpers_of_test", "module_of_test"):
        sys.modules.pop(name, None)


CHANGES = {
    "its own method": SOURCE.replace("self.scale() * bent(x)", "self.scale() + bent(x)"),
    "the method of a base": SOURCE.replace("return 2.0", "return 3.0"),
    "a function that it calls": SOURCE.replace("x > 0", "x >= 0"),
    "a number that this reads": SOURCE.replace("SLOPE = 0.1", "SLOPE = 0.2"),
    "an attribute of the class": SOURCE.replace("width = 4", "width = 5"),
}


@pytest.mark.parametrize("source", CHANGES.values(), ids=CHANGES)
def test_a_change_of_what_a_class_does_changes_it(write: object, source: str) -> None:
    before = Identity(write().Net)
    assert not before.unread
    assert Identity(write().Net).parts == before.parts
    assert Identity(write(source).Net).parts != before.parts


def test_a_change_elsewhere_changes_nothing(write: object) -> None:
    before = Identity(write().Net).parts
    assert Identity(write(SOURCE.replace("around = 3", "around = 4")).Net).parts == before
    assert Identity(write(SOURCE.replace('"""A loss."""', '"""Another."""')).Net).parts == before


def test_a_module_that_is_read_counts_as_a_whole(write: object) -> None:
    before = Identity(write().Net).parts
    assert Identity(write(helpers=HELPERS.replace("1.0", "2.0")).Net).parts != before


def test_functions_with_their_surroundings(write: object) -> None:
    module = write()
    assert Identity(module.made(2)).parts != Identity(module.made(3)).parts
    assert Identity(module.made(2)).parts == Identity(module.made(2)).parts
    assert Identity(module.double).parts != Identity(write(SOURCE.replace("2 * x  #", "3 * x  #")).double).parts
    assert Identity(module.double).parts == Identity(write(SOURCE.replace("E731", "E731 ")).double).parts
    assert Identity(functools.partial(module.loss, weight=2.0)).parts != Identity(module.loss).parts


def test_what_has_no_source_is_named() -> None:
    space: dict[str, object] = {"nn": nn, "__name__": "no_file"}
    exec("class Net(nn.Module):\n    def forward(self, x):\n        return x", space)
    assert Identity(space["Net"]).unread == ["no_file.Net.forward"]


def test_libraries_count_by_their_version_and_torch_not_at_all() -> None:
    from sklearn.preprocessing import StandardScaler

    found = Identity(StandardScaler, nn.Linear, torch.tanh, np.tanh)
    assert found.parts["library sklearn"] == version("scikit-learn")
    assert not found.unread
    assert not [name for name in found.parts if name.startswith("torch")]


def test_objects_by_their_values() -> None:
    one, other = (nn.CrossEntropyLoss(label_smoothing=smoothing) for smoothing in (0.0, 0.1))
    assert Identity(one).parts != Identity(other).parts
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]))
    assert Identity(weighted).parts != Identity(one).parts


def test_digests_hold_type_shape_and_bytes() -> None:
    base = torch.arange(6.0)
    found = {digest_of(each) for each in (base, base.view(2, 3), base.long(), base.double(), base + 1)}
    assert len(found) == 5
    assert digest_of(base.view(2, 3).T) == digest_of(base.view(2, 3).T.contiguous())
    assert digest_of(base.bfloat16())
    assert digest_of(base.numpy()) == digest_of(base)
