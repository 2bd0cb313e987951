"""An initializer as a few lines of plain torch, found by watching what it does.

A law calls torch on numbers that are known beforehand: shapes, stds and gains. What it calls, with these numbers, is
written down for each tensor, and executed for other seeds than the one that was watched: only lines that draw the same
bits there are handed out.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from initsuite import rng
from initsuite.errors import InitsuiteError
from initsuite.init.base.compose import ByLaws, draw
from initsuite.spec import Initializer, Params, Specs

CHECKED_SEEDS = (1, 2)
"""Seeds on which the lines must draw what the initializer draws; it is watched on seed 0."""
_HEAD = '''\
import hashlib

import torch


def stream(seed, name):
    """A random stream for each tensor, whatever else the model has."""
    digest = hashlib.blake2b(f"{{seed}}\\0init\\0{{name}}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


@torch.no_grad()
def initialize_(model, seed=0):
    """{title}"""
    parameters = dict(model.named_parameters())
'''


def snippet_of(initializer: Initializer, model: nn.Module, specs: Specs, title: str) -> str:
    """The source of a function `initialize_(model, seed)` that needs nothing but torch.

    Args:
        model: its parameters may be on the meta device.
        title: the docstring of the function.

    Raises:
        InitsuiteError: the initializer does not draw each tensor by a law of its own, or does with the numbers that it
            has drawn what no fixed lines can say.
    """
    bodies: dict[str, list[str]] = {}
    for name, body in _bodies(initializer, model, specs):
        bodies.setdefault(body, []).append(name)
    text = _HEAD.format(title=title) + "".join(_loop(names, body) for body, names in bodies.items())
    for seed in CHECKED_SEEDS:
        if not _draws(text, initializer(model, specs, seed=seed).params, seed):
            raise _refusal(type(initializer).__name__)
    return text


def _bodies(initializer: Initializer, model: nn.Module, specs: Specs) -> Iterator[tuple[str, str]]:
    """Names of tensors, and the lines that draw them."""
    shapes = {spec.name: spec.shape for spec in specs}
    streams = {rng.stream_seed(0, "init", name): name for name in shapes}
    if isinstance(initializer, ByLaws) and type(initializer).__call__ is ByLaws.__call__:
        for name, (law, spec) in initializer.laws(model, specs).items():  # one at a time takes less memory
            watcher = _Watcher(streams)
            with watcher:
                drawn = draw(law, spec, 0)
            yield name, watcher.body_for(name, drawn)
        return
    watcher = _Watcher(streams)
    try:
        initializer(model, specs, seed=0)  # once before: what it computes about the model is remembered, and no draw
        with watcher:
            params = initializer(model, specs, seed=0).params
    except Exception as error:  # one that needs data, or does with a tensor what cannot be watched
        raise _refusal(type(initializer).__name__) from error
    for name, drawn in params.items():
        yield name, watcher.body_for(name, drawn)


def _refusal(name: str) -> InitsuiteError:
    return InitsuiteError(
        f"snippet: {name} cannot be written as fixed lines of torch: what it does depends on data, or on numbers that "
        "it has drawn. Expected a law that calls torch on numbers that are known beforehand. Use "
        "initsuite.initialize_(model, ...), which draws the same."
    )


def _loop(names: Sequence[str], body: str) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    head = f"for name in [{listed}]:" if len(names) > 1 else f'name = "{names[0]}"'
    if len(head) > 100 and len(names) > 1:
        wrapped = textwrap.fill(listed, 100, initial_indent=" " * 8, subsequent_indent=" " * 8)
        head = f"for name in [\n{wrapped},\n    ]:"
    indent = " " * (8 if len(names) > 1 else 4)
    whole = f"parameter = parameters[name]\n{body}"
    return f"    {head}\n{textwrap.indent(whole, indent)}\n"


def _draws(text: str, expected: Mapping[str, Tensor], seed: int) -> bool:
    """Whether the lines draw these tensors."""
    space: dict[str, Any] = {}
    holder = _Holder({name: torch.full_like(value, float("nan")) for name, value in expected.items()})
    try:
        exec(compile(text, "snippet", "exec"), space)
        space["initialize_"](holder, seed)
    except Exception:  # lines that torch or Python refuses say nothing
        return False
    return all(torch.equal(holder.params[name], value) for name, value in expected.items())


@dataclass
class _Holder:
    """What `initialize_` asks of a model."""

    params: Params

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.params.items()


@dataclass
class _Call:
    """A call of torch as text.

    Attributes:
        uses: numbers of the values that it reads.
        makes: numbers of those that it makes, or changes in place.
    """

    text: str
    uses: set[int]
    makes: set[int]


class _Watcher(TorchFunctionMode):
    """Writes down the calls of torch by which a law makes tensors.

    Args:
        streams: names of tensors, by the seed of the generator that draws them.
    """

    def __init__(self, streams: Mapping[int, str]) -> None:
        super().__init__()
        self.streams = streams
        self.calls: list[_Call] = []
        self.values: list[Tensor] = []
        """Kept, so that no address is given away again."""
        self.numbers: dict[int, int] = {}
        self.sharing: dict[int, set[int]] = {}
        self.frames: list[FrameType] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = resolve_name(func)
        if inside := _inside_of_init(sys._getframe()):
            self._note_whole(*inside)
        elif name == "torch.Tensor.detach":
            self._keep(result, self._number(args[0]))
        elif name:
            self._note(name, args, kwargs, result)
        return result

    def body_for(self, name: str, drawn: Tensor) -> str:
        """The calls that a tensor depends on, and the copy of it into its parameter."""
        wanted, kept = {self._number(drawn)}, []
        for call in reversed(self.calls):
            if call.makes & wanted:
                kept.append(call)
                wanted |= call.uses
        lines = [*(call.text for call in reversed(kept)), f"parameter.copy_({self._said(drawn)})"]
        text = "\n".join(lines).replace(f"stream(seed, {name!r})", "generator")
        shape = re.escape(self._said(tuple(drawn.shape)))
        text = re.sub(rf"(?<=[(=\s]){shape}", "parameter.shape", text)
        return _tidied(text)

    # ---- writing down -----------------------------------------------------------------------------------------------

    def _note(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        given = [each for each in _flat((args, kwargs)) if isinstance(each, Tensor)]
        made = [each for each in _flat(result) if isinstance(each, Tensor)]
        uses = {self._number(each) for each in given}
        is_in_place = name.endswith("_") and not name.endswith("__") and len(given) > 0
        if name == "torch.Tensor.__setitem__":
            target, place, value = args
            text = f"{self._said(target)}[{self._said_index(place)}] = {self._said(value)}"
            self.calls.append(_Call(text, uses, self._sharing(target)))
        elif is_in_place or (made and result is given[0] if given else False):
            self.calls.append(_Call(self._called(name, args, kwargs), uses, self._sharing(given[0])))
        elif made and (isinstance(result, Tensor) or len(made) == len(result)):
            text = self._called(name, args, kwargs)
            for each in made:
                self._keep(each, len(self.values) + 1)
            makes = [self.numbers[id(each)] for each in made]
            self.calls.append(_Call(f"{', '.join(f'v{number}' for number in makes)} = {text}", uses, set(makes)))

    def _keep(self, tensor: Tensor, number: int) -> None:
        self.values.append(tensor)
        self.numbers[id(tensor)] = number
        self.sharing.setdefault(_memory(tensor), set()).add(number)

    def _sharing(self, tensor: Tensor) -> set[int]:
        """The numbers of the values that a change of this one changes: views share their memory."""
        return self.sharing.get(_memory(tensor), set())

    def _note_whole(self, name: str, frame: FrameType) -> None:
        """Note the call of a function of torch.nn.init once, at the first thing that it does."""
        if frame in self.frames:
            return
        self.frames.append(frame)
        given = {key: frame.f_locals[key] for key in inspect.signature(getattr(nn.init, name)).parameters}
        tensor = given.pop("tensor")
        text = self._called(f"torch.nn.init.{name}", (tensor,), given)
        self.calls.append(_Call(text, {self._number(tensor)}, self._sharing(tensor)))

    def _number(self, tensor: Tensor) -> int:
        """The number of a value; 0 for one that no watched call made."""
        return self.numbers.get(id(tensor), 0)

    def _called(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        words = [*map(self._said, args), *(f"{key}={self._said(value)}" for key, value in kwargs.items())]
        owner, _, method = name.rpartition(".")
        if method == "__get__":
            return f"{words[0]}.{owner.rpartition('.')[2]}"
        if method == "__getitem__":
            return f"{words[0]}[{self._said_index(args[1])}]"
        if owner == "torch.Tensor":
            return f"{words[0]}.{method}({', '.join(words[1:])})"
        return f"{name}({', '.join(words)})"

    def _said_index(self, place: Any) -> str:
        return ", ".join(map(self._said, place)) if isinstance(place, tuple) else self._said(place)

    def _said(self, value: Any) -> str:
        if isinstance(value, Tensor):
            number = self._number(value)
            return f"v{number}" if number else f"torch.tensor({value.tolist()!r}, dtype={value.dtype})"
        if isinstance(value, torch.Generator):
            return f"stream(seed, {self.streams.get(value.initial_seed(), '?')!r})"
        if isinstance(value, torch.Size | tuple):
            return f"({', '.join(map(self._said, value))}{',' if len(value) == 1 else ''})"
        if isinstance(value, list):
            return f"[{', '.join(map(self._said, value))}]"
        if isinstance(value, slice):
            parts = ("" if each is None else self._said(each) for each in (value.start, value.stop))
            return ":".join(parts) + (f":{self._said(value.step)}" if value.step is not None else "")
        return "..." if value is Ellipsis else repr(value)


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, tuple | list):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def _memory(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage()._cdata
    except NotImplementedError:  # of a derivative that torch.func computes, such as the slope of an activation
        return id(tensor)


def _inside_of_init(frame: FrameType | None) -> tuple[str, FrameType] | None:
    """The function of torch.nn.init that is being called, if one is: some of them look at what they have drawn."""
    found = None
    while frame:
        if frame.f_code.co_filename == nn.init.__file__ and not frame.f_code.co_name.startswith("_"):
            found = frame.f_code.co_name, frame
        frame = frame.f_back
    return found


def _tidied(text: str) -> str:
    """With values numbered in the order of their first use, and the generator made once."""
    names: dict[str, str] = {}
    for found in re.findall(r"\bv\d+\b", text):
        names.setdefault(found, f"t{len(names) or ''}")
    text = re.sub(r"\bv\d+\b", lambda match: names[match.group()], text)
    if text.count("=generator") == 1:
        return text.replace("=generator", "=stream(seed, name)")
    return f"generator = stream(seed, name)\n{text}" if "=generator" in text else text
