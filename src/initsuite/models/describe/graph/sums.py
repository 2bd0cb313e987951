"""The sums of signals in a recorded forward pass, with all their terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import fx

from initsuite.models.describe.graph.contractions import operation
from initsuite.models.describe.graph.operations import moves
from initsuite.models.describe.graph.recording import Recording

ADDING_PRODUCTS = {"addmm": (0, (1, 2)), "baddbmm": (0, (1, 2)), "addcmul": (0, (1, 2))}
"""Operations that add a product to their first argument: its place, and those of the factors."""


@dataclass(frozen=True)
class Term:
    """One term of a sum.

    Attributes:
        nodes: what is added; two factors where the sum itself multiplies them.
        factor: the number that the sum multiplies it by.
        inside: the sum itself, where it makes the term, as a product with weights does that adds a signal.
    """

    nodes: tuple[fx.Node, ...]
    factor: float = 1.0
    inside: tuple[fx.Node, ...] = ()


@dataclass(frozen=True)
class Sum:
    """A sum of two signals or more.

    Attributes:
        node: the last addition.
        terms: two or more.
        nested: the additions before it whose results are used for this one alone.
    """

    node: fx.Node
    terms: tuple[Term, ...]
    nested: tuple[fx.Node, ...] = ()


def sums(recording: Recording) -> list[Sum]:
    """The sums of signals in order; one that is only a term of another is listed by itself, and taken apart there."""
    found: dict[fx.Node, Sum] = {}
    for node in recording.nodes:
        terms = [term for term in _terms(node) if not recording.signals.isdisjoint(term.nodes)]
        if len(terms) < 2:
            continue
        whole: list[Term] = []
        nested: list[fx.Node] = []
        for term in terms:
            moved = _only_moved(term.nodes[0], recording) if len(term.nodes) == 1 and term.factor == 1.0 else None
            inner = found.get(moved) if moved else None
            if inner is None:
                whole.append(term)
            else:
                whole += inner.terms
                nested += [inner.node, *inner.nested]
        found[node] = Sum(node, tuple(whole), tuple(nested))
    return list(found.values())


def _terms(node: fx.Node) -> Sequence[Term]:
    name = operation(node)
    if name == "add" and len(node.args) > 1:
        factors = (1.0, float(node.kwargs.get("alpha", 1.0)))  # type: ignore[arg-type]
        pairs = zip(node.args[:2], factors, strict=True)
        return [Term((each,), factor) for each, factor in pairs if isinstance(each, fx.Node)]
    if name in ADDING_PRODUCTS:
        first, places = ADDING_PRODUCTS[name]
        operands = [node.args[first], *(node.args[place] for place in places)]
        if all(isinstance(each, fx.Node) for each in operands):
            added, *factors = operands
            beta = float(node.kwargs.get("beta", 1.0))  # type: ignore[arg-type]
            return [Term((added,), beta), Term(tuple(factors), inside=(node,))]  # type: ignore[arg-type]
    return []


def _only_moved(node: fx.Node, recording: Recording) -> fx.Node | None:
    """What a term moves, if nothing else uses it."""
    while len(node.users) == 1:
        if not moves(node):
            return node
        signals = [each for each in node.all_input_nodes if each in recording.signals]
        if len(signals) != 1:
            return None
        (node,) = signals
    return None
