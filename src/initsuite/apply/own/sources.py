"""The identity of code that a person gives: its source, and that of all it reads outside of the libraries.

Ids hold it, so that a trial is never taken for one of other code.
"""

from __future__ import annotations

import builtins
import dataclasses
import dis
import enum
import functools
import hashlib
import inspect
import sys
import sysconfig
import textwrap
import types
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_SCALARS = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, enum.Enum)
_OURS = ("initsuite", "torch", "numpy", "builtins")
"""Modules whose code is no part of an identity: `PROTOCOL_VERSION` stands for ours, and no id depends on torch's."""
_READS = {"LOAD_GLOBAL", "LOAD_NAME"}
_INSTALLED = tuple(str(Path(sysconfig.get_path(key))) for key in ("purelib", "platlib", "stdlib"))


class Identity:
    """What code is: by name, the digest of each source, the version of each library, each value that is read.

    Attributes:
        parts: a plain dictionary, for a hash.
        unread: what has no source that can be read; nothing says whether it has changed.
    """

    def __init__(self, *things: object) -> None:
        self.parts: dict[str, str] = {}
        self.unread: list[str] = []
        self._seen: set[int] = set()
        for thing in things:
            self.add(thing)

    def add(self, thing: object, name: str = "") -> None:
        """Note a class, a function or an object, with what its code reads.

        Args:
            name: what a value is called where it is read.
        """
        plain = inspect.unwrap(thing) if callable(thing) else thing
        if is_plain(plain):
            self._note(name, repr(plain))
        elif id(plain) not in self._seen:
            self._seen.add(id(plain))
            self._add(plain, name)

    def _add(self, thing: Any, name: str) -> None:
        if isinstance(thing, Tensor | np.ndarray):
            self._note(name, digest_of(thing))
        elif isinstance(thing, functools.partial):
            for position, each in enumerate((thing.func, *thing.args, *thing.keywords.items())):
                self.add(each, f"{name}[{position}]")
        elif isinstance(thing, types.MethodType):
            self.add(thing.__func__)
            self.add(thing.__self__)
        elif isinstance(thing, types.ModuleType):
            self._add_module(thing)
        elif inspect.isclass(thing) or isinstance(thing, types.FunctionType):
            self._add_code(thing)
        elif isinstance(thing, Mapping | list | tuple | set):
            items = thing.items() if isinstance(thing, Mapping) else enumerate(thing)
            for key, value in items:
                self.add(value, f"{name}[{key!r}]")
        elif isinstance(thing, types.BuiltinFunctionType):
            self._note(name, f"{thing.__module__}.{thing.__qualname__}")
        else:
            self._add_object(thing, name)

    def _add_object(self, thing: Any, name: str) -> None:
        self.add(type(thing))
        for key, value in state_of(thing).items():
            self.add(value, f"{name or type(thing).__qualname__}.{key}")

    def _add_module(self, module: types.ModuleType) -> None:
        if self._is_library(module.__name__):
            return
        path = getattr(module, "__file__", None)
        text = Path(path).read_bytes() if path and Path(path).is_file() else None
        self._note(module.__name__, hashlib.sha256(text).hexdigest() if text else self._without(module.__name__))

    def _add_code(self, thing: Any) -> None:
        module, name = str(getattr(thing, "__module__", "")), f"{thing.__module__}.{thing.__qualname__}"
        if self._is_library(module) and (module != "builtins" or hasattr(builtins, thing.__name__)):
            return
        if inspect.isclass(thing):
            for base in thing.__mro__[1:]:
                self.add(base)
            self._note(name, "class")
            for key, value in vars(thing).items():
                for each in _functions_in(value):
                    if not _is_generated(thing, each):
                        self.add(each)
                if is_plain(value) and not key.startswith("__"):
                    self._note(f"{name}.{key}", repr(value))
            return
        self._note(name, self._source(thing, name))
        for key, value in _read_by(thing):
            self.add(value, f"{name}:{key}")

    def _is_library(self, module: str) -> bool:
        """Whether a module belongs to a library; the version of one that is not torch or Python itself is noted."""
        top = module.partition(".")[0]
        if top in _OURS or (top in sys.stdlib_module_names and top != "__main__"):
            return True
        path = str(getattr(sys.modules.get(module), "__file__", None) or "")
        if not path.startswith(_INSTALLED):
            return False
        names = _distributions().get(top)
        if not names:
            return False
        self.parts[f"library {top}"] = version(names[0])
        return True

    def _source(self, function: types.FunctionType, name: str) -> str:
        try:
            text = textwrap.dedent(inspect.getsource(function))
        except (OSError, TypeError):
            return self._without(name)
        if function.__name__ == "<lambda>":  # its lines hold what surrounds it, too
            text = repr(list(_code_of(function.__code__)))
        return hashlib.sha256(text.encode()).hexdigest()

    def _without(self, name: str) -> str:
        self.unread.append(name)
        return "no source"

    def _note(self, name: str, value: str) -> None:
        while name in self.parts and self.parts[name] != value:
            name += "'"
        self.parts[name] = value


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    """The installed distributions of each top-level module."""
    return packages_distributions()


def is_plain(value: object) -> bool:
    """Whether the text of a value says all of it.

    Example:
        >>> is_plain((1, "a", {"b": 2.0})), is_plain(torch.zeros(1))
        (True, False)
    """
    if isinstance(value, Mapping):
        return all(is_plain(each) for pair in value.items() for each in pair)
    if isinstance(value, tuple | list | set | frozenset):
        return all(map(is_plain, value))
    return isinstance(value, _SCALARS)


def digest_of(tensor: Tensor | np.ndarray) -> str:
    """SHA-256 of the type, the shape and the bytes of a tensor or array."""
    array: Any = tensor.detach().cpu().contiguous() if isinstance(tensor, Tensor) else torch.from_numpy(tensor.copy())
    found = hashlib.sha256(f"{array.dtype} {tuple(array.shape)} ".encode())
    bytes_: Any = array.reshape(-1).view(torch.uint8).numpy()
    found.update(memoryview(bytes_))
    return found.hexdigest()


def state_of(thing: object) -> dict[str, Any]:
    """The values that an object holds: the fields of a dataclass, or its attributes."""
    if dataclasses.is_dataclass(thing) and not inspect.isclass(thing):
        return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    return {key: value for key, value in getattr(thing, "__dict__", {}).items() if not key.startswith("__")}


def _functions_in(value: object) -> Iterator[types.FunctionType]:
    """The functions behind an entry of a class."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    parts = (value.fget, value.fset, value.fdel) if isinstance(value, property) else (value,)
    if isinstance(value, functools.cached_property):
        parts = (value.func,)
    for each in parts:
        plain = inspect.unwrap(each) if callable(each) else each
        if isinstance(plain, types.FunctionType):
            yield plain


def _is_generated(kind: type, function: types.FunctionType) -> bool:
    """Whether `dataclass` or `namedtuple` wrote a method: it says no more than the fields."""
    is_dunder = function.__name__.startswith("__") and function.__name__ not in ("__call__", "__init_subclass__")
    is_made = dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")
    return is_made and is_dunder and function.__code__.co_filename.startswith("<")


def _read_by(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    """What the code of a function reads outside of itself, by name: globals, the variables around it, defaults."""
    for name in dict.fromkeys(_globals_in(function.__code__)):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not set yet
            continue
    for index, value in enumerate(function.__defaults__ or ()):
        yield f"default {index}", value
    yield from (function.__kwdefaults__ or {}).items()


def _globals_in(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in _READS:
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals_in(constant)


def _code_of(code: types.CodeType) -> Iterator[str]:
    """What the code of a lambda does, without where it stands."""
    yield from (f"{each.opname} {each.argval!r}" for each in dis.get_instructions(code) if not _is_code(each.argval))
    for constant in filter(_is_code, code.co_consts):
        yield from _code_of(constant)


def _is_code(value: object) -> bool:
    return isinstance(value, types.CodeType)
