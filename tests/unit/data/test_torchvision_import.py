"""The import of torchvision: declared operators only where the import fails for lack of them."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest
import torch

from initsuite.data import torchvision_import
from initsuite.data.torchvision_import import SYMPTOM, import_torchvision


class FakeImport:
    """Stands in for importlib.import_module: raises the given errors in turn, then returns a module."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.module = ModuleType("torchvision")

    def __call__(self, name: str) -> ModuleType:
        assert name == "torchvision"
        if self.errors:
            raise self.errors.pop(0)
        return self.module


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the operators that get declared."""
    names: list[str] = []
    monkeypatch.setattr(torch.library, "define", lambda name, schema: names.append(name))
    return names


def use(monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> FakeImport:
    fake = FakeImport(*errors)
    monkeypatch.setattr(importlib, "import_module", fake)
    return fake


def test_the_real_torchvision_imports() -> None:
    datasets = import_torchvision().datasets
    assert datasets.FashionMNIST.__name__ == "FashionMNIST"


@pytest.mark.slow
def test_it_imports_in_a_fresh_process_and_twice() -> None:
    """Here, where the builds may not match, both calls must work and give one module."""
    code = (
        "from initsuite.data.torchvision_import import import_torchvision as load; a = load(); b = load(); "
        "assert a is b; import torchvision.models; print(a.datasets.CIFAR10.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "CIFAR10", done.stderr


def test_nothing_is_declared_where_the_import_works(monkeypatch, declared) -> None:
    fake = use(monkeypatch)
    assert import_torchvision() is fake.module
    assert declared == []


def test_the_missing_operators_are_declared_and_the_import_tried_again(monkeypatch, declared) -> None:
    fake = use(monkeypatch, RuntimeError(SYMPTOM))
    assert import_torchvision() is fake.module
    assert declared == ["torchvision::nms", "torchvision::qnms"]


@pytest.mark.parametrize("error", [RuntimeError("another operator"), ImportError("No module named 'torchvision'")])
def test_other_failures_pass_through(monkeypatch, declared, error: Exception) -> None:
    use(monkeypatch, error)
    with pytest.raises(type(error), match=str(error)):
        import_torchvision()
    assert declared == []


def test_a_second_failure_passes_through(monkeypatch, declared) -> None:
    use(monkeypatch, RuntimeError(SYMPTOM), RuntimeError("still broken"))
    with pytest.raises(RuntimeError, match="still broken"):
        import_torchvision()


@pytest.mark.slow
def test_importing_the_data_modules_does_not_import_torchvision() -> None:
    code = "import sys, initsuite.data.images, initsuite.data.digits; print('torchvision' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"
    assert torchvision_import.SCHEMA.startswith("(Tensor dets")
