"""Where each layer stands in the model: what follows it, whether it is a head, and in which residual branch it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from initsuite.models.describe.following import (
    activation_by_values,
    activation_of,
    following_in_order,
    without_identity,
)
from initsuite.models.describe.graph.attention import adapters, parts
from initsuite.models.describe.graph.branches import residual_branches
from initsuite.models.describe.graph.elementwise import Follower
from initsuite.models.describe.graph.heads import heads
from initsuite.models.describe.graph.reading import Piece, Reading
from initsuite.models.describe.layers import EMBEDDINGS, LAYERS, NORM_PARAMETERS
from initsuite.models.describe.places import Place, Places, Site, heads_around
from initsuite.models.describe.residual import Member, members
from initsuite.spec import Activation

CELLS = ("cell", "new")
"""What the part of a gated recurrent layer is for whose nonlinearity counts as that of the layer."""


@dataclass(frozen=True)
class Standing:
    """What is known about the layers of a whole model.

    Attributes:
        follows: the nonlinearity after each layer with weights.
        heads: indices of those that make an output.
        member: the place of a parameter in a residual branch.
        closes: whether a parameter of a branch is among its last.
        branch_layers: how many layers with weights a branch has.
        branches: how many branches the model has.
        nonlinearities: what follows each block of a weight, where that differs.
        parts: what each block of a parameter is for, as the recorded pass shows it.
        doubts: why it is not known what follows a weight, by its name.
        is_blind: nothing shows what follows any layer.
        head_width: how many features each head has that a weight makes queries for; 0 where that is not known.
        scales: names of the multipliers that scale what a residual branch adds.
        idle: names of the second factors of low-rank adapters that start at 0.
    """

    follows: Sequence[Activation | None]
    heads: Collection[int]
    member: Callable[[str, Place], Member | None]
    closes: Callable[[str, Place], bool]
    branch_layers: Callable[[Member], int]
    branches: int
    head_width: Callable[[str], int]
    described_by: str
    nonlinearities: Mapping[str, tuple[Activation | None, ...]] = field(default_factory=dict)
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)
    is_blind: bool = False
    scales: Collection[str] = ()
    idle: Collection[str] = ()


def by_order(model: nn.Module, places: Places) -> Standing:
    """Read off the types of the modules and the order in which they are registered."""
    sites = places.sites
    # a module used twice comes twice, so that a shared ReLU is seen wherever it follows
    modules = dict(model.named_modules(remove_duplicate=False))
    owners = list(dict.fromkeys(site.owner for site in sites))
    inside = members(modules, owners)
    head = _last(sites, modules, inside)
    follows = [site.layer.nonlinearity or without_identity(_following(site.owner, modules)) for site in sites]
    if head is not None:
        follows[head] = None
    in_branch: dict[int, list[int]] = {}
    for index, site in enumerate(sites):
        if site.owner in inside:
            in_branch.setdefault(inside[site.owner].branch, []).append(index)
    is_network = len(sites) > 1 and not isinstance(model, LAYERS)
    shows = any(activation_of(module) for module in model.modules()) or any(follows)
    return Standing(
        follows=follows,
        heads=set() if head is None else {head},
        member=lambda name, place: inside.get(place.owner),
        closes=lambda name, place: place.site == in_branch[inside[place.owner].branch][-1],
        branch_layers=lambda member: len(in_branch[member.branch]),
        branches=len({each.branch for each in inside.values()}),
        head_width=lambda name: _head_width(model, name, places.found[name]),
        described_by="order",
        is_blind=is_network and not shows,
    )


def _last(sites: Sequence[Site], modules: Mapping[str, nn.Module], inside: Mapping[str, Member]) -> int | None:
    """Index of the last layer registered, if it makes the output: no embedding, in no branch, no recurrent layer."""
    last = {site.owner: index for index, site in enumerate(sites) if not isinstance(modules[site.owner], EMBEDDINGS)}
    if not last or list(last)[-1] in inside:
        return None
    head = list(last.values())[-1]
    return head if sites[head].layer.nonlinearity is None else None


def _head_width(model: nn.Module, name: str, place: Place) -> int:
    """What the module around a weight that makes queries says."""
    around = heads_around(model, name)
    return place.facts.fan_out // around[1] if around else 0


def _following(owner: str, modules: Mapping[str, nn.Module]) -> Activation | None:
    """What follows a layer with weights that applies no nonlinearity itself."""
    parent, _, local = owner.rpartition(".")
    block = modules[parent]
    if isinstance(block, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        if local != "linear1":
            return None
        phi = block.activation  # a module or a function
        return activation_of(phi) if isinstance(phi, nn.Module) else activation_by_values(phi)
    names = list(modules)
    return following_in_order(modules[later] for later in names[names.index(owner) + 1 :])


def by_graph(model: nn.Module, places: Places, reading: Reading) -> Standing:
    """Read off the recorded forward pass."""
    return _Graph(model, places, reading).standing()


class _Graph:
    """The layers of a model and what its recorded pass shows about them."""

    def __init__(self, model: nn.Module, places: Places, reading: Reading) -> None:
        self.model, self.places, self.reading = model, places, reading
        self.recording, uses = reading.recording, reading.roles.uses
        self.weights = {name: place for name, place in places.found.items() if place.is_own and name in reading.pieces}
        self.site_of = {
            piece.use.node: place.site for name, place in self.weights.items() for piece in reading.pieces[name]
        }
        lora = adapters(self.recording, uses)
        plain = [use for use in uses if not any(use in pair for pair in lora)]
        self.branches = residual_branches(self.recording, plain, reading.norm_nodes)
        inside = {each for branch in self.branches for each in (*branch.uses, *branch.shortcut)}
        self.head_uses = heads(self.recording, uses, inside)
        self.parts_of_node = parts(self.recording, uses, self.branches, lora)
        self.follower = Follower(self.recording, uses, self._value)

    def standing(self) -> Standing:
        sites = self.places.sites
        modules = dict(self.model.named_modules())
        doubts: dict[str, str] = {}
        follows: list[Activation | None] = [site.layer.nonlinearity for site in sites]
        nonlinearities = {}
        found = {name: self._after(name, doubts) for name in self.weights}
        for name, place in self.weights.items():
            if isinstance(modules[place.owner], nn.RNNBase | nn.RNNCellBase):
                doubts.pop(name, None)
                continue
            cell = [part in CELLS for part in place.facts.parts]
            if any(cell) and len(cell) == len(found[name]):  # gates are sigmoids whatever the cell applies
                follows[place.site] = found[name][cell.index(True)]
                continue
            if follows[place.site] is None:
                follows[place.site] = next(filter(None, found[name]), None)
            if len(set(found[name])) > 1 and len(found[name]) == len(place.facts.blocks or place.facts.layout):
                nonlinearities[name] = tuple(found[name])
        head_sites = {self.site_of[use.node] for use in self.head_uses if use.node in self.site_of}
        member_sites, norms, closing, closing_norms = self._members()
        head_sites = {site for site in head_sites if sites[site].layer.nonlinearity is None}
        for site in head_sites:
            follows[site] = None

        def member(name: str, place: Place) -> Member | None:
            return norms.get(name) if place.facts.role in NORM_PARAMETERS else member_sites.get(place.site)

        def closes(name: str, place: Place) -> bool:
            return name in closing_norms if place.facts.role in NORM_PARAMETERS else place.site in closing

        numbers = [each.branch for each in member_sites.values()]
        return Standing(
            follows, head_sites, member, closes, lambda each: numbers.count(each.branch), len(set(numbers)),
            self._head_width, "graph", nonlinearities, self._parts(), doubts, scales=self._scales(), idle=self._idle(),
        )  # fmt: skip

    def _value(self, name: str) -> Tensor | None:
        parameter = self.model.get_parameter(name)
        return None if parameter.is_meta else parameter.detach()

    def _after(self, name: str, doubts: dict[str, str]) -> list[Activation | None]:
        """What follows each matrix of a weight."""
        pieces = self.reading.pieces[name]
        found = {start: self.follower.after(start) for start in dict.fromkeys(piece.start for piece in pieces)}
        told = [each.doubt for each in found.values() if each.doubt]
        if told:
            doubts[name] = told[0]
        return [without_identity(found[piece.start].activation) for piece in pieces]

    def _members(self) -> tuple[dict[int, Member], dict[str, Member], set[int], set[str]]:
        """The branch of each layer and norm parameter that is in one, and those of them that close it."""
        sites: dict[int, Member] = {}
        norms: dict[str, Member] = {}
        closing, closing_norms = set(), set()
        number = 0
        for branch in self.branches:
            own = {self.site_of[use.node] for use in branch.uses if use.node in self.site_of} - sites.keys()
            if not own:
                continue
            member = Member(number, shortcut=branch.shortcut_factor or 1.0)
            sites |= dict.fromkeys(own, member)
            norms |= dict.fromkeys([name for name in branch.norms if name not in norms], member)
            closing |= {self.site_of[use.node] for use in branch.closing if use.node in self.site_of}
            closing_norms |= set(branch.closing_norms)
            number += 1
        return sites, norms, closing, closing_norms

    def _parts(self) -> dict[str, tuple[str, ...]]:
        """What the blocks of each weight are for; only where all of them are known."""
        found = {}
        for name in self.weights:
            pieces = self.reading.pieces[name]
            named = [self._part(piece, alone=len(pieces) == 1) for piece in pieces]
            if pieces and all(each.use.is_look_up and each.use.signal not in self.recording.signals for each in pieces):
                named = ["position"]  # looked up by number, whatever the inputs hold
            if all(named):
                found[name] = tuple(named)
        return found

    def _part(self, piece: Piece, *, alone: bool) -> str:
        known = self.parts_of_node.get(piece.use.node)
        if known is None:
            return ""
        if len(known.names) == 1:
            return known.names[0]
        if alone or piece.start is piece.use.node:
            return ""
        bit = self.recording.index[piece.start]
        through = [name for name, node in known.pieces.items() if self.recording.ancestors[node] >> bit & 1]
        return through[0] if len(through) == 1 else ""

    def _head_width(self, name: str) -> int:
        uses = [self.parts_of_node.get(piece.use.node) for piece in self.reading.pieces.get(name, ())]
        return next((known.head_width for known in uses if known and known.head_width), 0)

    def _scales(self) -> set[str]:
        """The multipliers that scale what a residual branch adds."""
        ancestors, index = self.recording.ancestors, self.recording.index
        return {
            name
            for name, node in self.reading.multiplied_at.items()
            for branch in self.branches
            if ancestors[branch.sum] >> index[node] & 1
            and any(ancestors[node] >> index[use.node] & 1 for use in branch.closing)
        }

    def _idle(self) -> set[str]:
        """The second factors of low-rank adapters that are 0, so that the adapter adds nothing at the start."""
        second = [name for name, each in self._parts().items() if each == ("lora_b",)]
        return {name for name in second if (value := self._value(name)) is not None and not bool(value.any())}
