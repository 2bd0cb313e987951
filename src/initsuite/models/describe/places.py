"""Where each parameter of a model belongs: to which layer, and as what."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn
from torch.nn.parameter import UninitializedParameter

from initsuite.activations import ActivationLayer
from initsuite.errors import InitsuiteError
from initsuite.models.branch import Branch, Residual
from initsuite.models.describe.graph.reading import Reading
from initsuite.models.describe.layers import BARE, NORM_ROLES, NORMS, SCALARS, WEIGHTS, Facts, Layer, layers_of
from initsuite.spec import Role

OURS = "initsuite.models."


@dataclass(frozen=True)
class Site:
    """A layer with weights, and the name of the module that has it."""

    owner: str
    layer: Layer


@dataclass(frozen=True)
class Place:
    """Where one parameter belongs.

    Attributes:
        owner: name of the module that it is described by.
        facts: what is known about it.
        site: index of its layer among those of the model; for a norm or a bare parameter, of the layer before it (the
            last in its branch), or of the first one.
        is_own: whether it belongs to that layer itself.
    """

    owner: str
    facts: Facts
    site: int
    is_own: bool


@dataclass(frozen=True)
class Places:
    """The parameters of a model by name.

    Attributes:
        sites: the layers with weights, in the order of registration.
        found: those with a place, in the order of `model.named_parameters()`.
        unknown: those that no layer here explains; not the slopes of PReLU, which are part of the nonlinearity.
    """

    sites: Sequence[Site]
    found: Mapping[str, Place]
    unknown: Sequence[str]


def find_places(model: nn.Module, reading: Reading | None = None, kept: Collection[str] = ()) -> Places:
    """Find the place of every parameter.

    Args:
        model: any module.
        reading: what a recorded forward pass shows, which counts for more than the types of layers.
        kept: names of parameters that are left out.

    Raises:
        InitsuiteError: a parameter without entries, or without a shape.
    """
    names = {id(parameter): name for name, parameter in _checked(model)}
    modules = dict(model.named_modules())
    typed = [
        Site(name, layer)
        for name, module in modules.items()
        for layer in layers_of(module, name.rpartition(".")[2], modules[name.rpartition(".")[0]] if name else None)
    ]
    sites = _seen(modules, names, typed, reading) if reading else typed
    owners = _owners(modules, names, sites, reading)
    owners = {name: owner for name, owner in owners.items() if name not in kept}
    # a layer whose tensors are all described by others, as an embedding tied to the head, is not counted
    used = {id(site) for _, _, site in owners.values()}
    sites = [site for site in sites if id(site) in used]
    index = {id(site): number for number, site in enumerate(sites)}
    near = _nearest(modules, sites)
    found = {}
    for name in names.values():
        if name in owners and sites:
            owner, facts, site = owners[name]
            number = near[owner] if site is None else index[id(site)]
            if not facts.fan_in:
                fans = next(iter(sites[number].layer.tensors.values()))
                facts = replace(facts, fan_in=fans.fan_in, fan_out=fans.fan_out)
            found[name] = Place(owner, facts, number, is_own=site is not None)
    rest = [name for name in names.values() if name not in found]
    slopes = (nn.PReLU, ActivationLayer)
    return Places(sites, found, [name for name in rest if not isinstance(modules[name.rpartition(".")[0]], slopes)])


COMPOSITE = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, nn.Bilinear)
"""Layers of torch that hold several matrices, whose type says what each is for."""


def _seen(
    modules: Mapping[str, nn.Module], names: Mapping[int, str], typed: Sequence[Site], reading: Reading
) -> list[Site]:
    """The layers with weights as the recorded pass shows them, in the order of registration."""
    by_owner: dict[str, list[Site]] = {}
    multiplied: set[str] = set()
    for site in typed:
        by_owner.setdefault(site.owner, []).append(site)
        held = dict(modules[site.owner].named_parameters(recurse=False, remove_duplicate=False))
        weights = [local for local, facts in site.layer.tensors.items() if facts.role in WEIGHTS and local in held]
        multiplied |= {names[id(held[local])] for local in weights}
    sites, placed = [], set()
    for owner, module in modules.items():
        own = {local: names[id(each)] for local, each in module.named_parameters(recurse=False, remove_duplicate=False)}
        for site in by_owner.get(owner, ()):
            layer = site.layer if isinstance(module, COMPOSITE) else _corrected(site.layer, own, reading, multiplied)
            has_weight = any(facts.role in (*WEIGHTS, Role.EMBEDDING) for facts in layer.tensors.values())
            # a bias may stand beside a weight that another module holds, as the one that weight_norm computes
            others = [reading.weight_of.get(own[local]) for local in layer.tensors if local in own]
            sites += [Site(owner, layer)] if has_weight or not all(each in reading.facts for each in others) else []
        inside = {local for site in by_owner.get(owner, ()) for local in site.layer.tensors}
        for local, name in own.items():
            facts = reading.facts.get(name)
            if facts and facts.role is Role.WEIGHT and local not in inside and name not in placed:
                sites.append(Site(owner, Layer({local: facts})))
        placed |= set(own.values())
    return sites


def _corrected(layer: Layer, own: Mapping[str, str], reading: Reading, multiplied: Collection[str]) -> Layer:
    """A layer whose facts are those that the pass shows; the type of the layer still says what its parts are for.

    An embedding that is tied to a layer in `multiplied` stays one: that layer describes the tensor.
    """
    tensors = {}
    for local, facts in layer.tensors.items():
        seen = reading.facts.get(own.get(local, ""))
        if local not in own or (seen is None and own[local] in reading.kept):
            continue
        is_tied = facts.role is Role.EMBEDDING and own[local] in multiplied
        if seen is None or is_tied or seen.role not in (*WEIGHTS, Role.EMBEDDING):
            tensors[local] = facts  # a bias keeps the facts of its layer; see below for those whose weight has others
            continue
        is_finer = bool(seen.blocks or seen.layout)
        tensors[local] = replace(
            seen,
            role=facts.role if seen.role in WEIGHTS and facts.role in WEIGHTS else seen.role,
            parts=facts.parts if not is_finer or len(facts.parts) == len(seen.blocks or seen.layout) else (),
            blocks=seen.blocks or (() if seen.layout else facts.blocks),
            fan_out=seen.fan_out if is_finer or not facts.blocks else facts.fan_out,
        )
    weight = next((facts for facts in tensors.values() if facts.role in WEIGHTS), None)
    if (
        weight
        and weight.blocks
        and not weight.is_transposed
        and "bias" in tensors
        and layer.tensors["weight"].blocks != weight.blocks
    ):
        tensors["bias"] = replace(tensors["bias"], fan_out=weight.fan_out, blocks=weight.blocks, parts=weight.parts)
    return Layer(tensors, layer.nonlinearity)


def holders(model: nn.Module) -> dict[str, dict[str, nn.Module]]:
    """The modules that hold each parameter, by the names of both; several if a parameter is shared."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found: dict[str, dict[str, nn.Module]] = {}
    for owner, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            found.setdefault(names[id(parameter)], {})[owner] = module
    return found


def heads_around(model: nn.Module, name: str) -> tuple[str, int] | None:
    """The innermost module around a parameter that says how many heads its attention has: its name, and how many."""
    while name:
        name = name.rpartition(".")[0]
        module = model.get_submodule(name)
        for heads in (getattr(module, "num_heads", None), getattr(module, "heads", None)):
            if isinstance(heads, int) and heads:
                return name, heads
    return None


def _checked(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters by name, each of a known shape with entries."""
    parameters = list(model.named_parameters())
    for name, parameter in parameters:
        if isinstance(parameter, UninitializedParameter):
            raise InitsuiteError(
                f"describe: parameter `{name}` has no shape yet: a lazy module fixes it at its first call. Expected "
                "known shapes. Run one forward pass first."
            )
        if parameter.numel() == 0:
            raise InitsuiteError(
                f"describe: parameter `{name}` of shape {tuple(parameter.shape)} has no entries. Expected whole "
                "tensors: under sharding (FSDP, ZeRO) a rank may hold an empty placeholder, and filling it would do "
                "nothing. Initialize before the model is sharded, or gather the parameters first."
            )
    return parameters


_Owner = tuple[str, Facts, Site | None]
"""The name of the module that describes a parameter, the facts (a norm's without fans), and its layer."""


def _owners(
    modules: Mapping[str, nn.Module], names: Mapping[int, str], sites: Sequence[Site], reading: Reading | None
) -> dict[str, _Owner]:
    """The owner of each parameter by name: the first module that multiplies by it, or else the first that holds it."""
    layers = {(site.owner, local): (facts, site) for site in sites for local, facts in site.layer.tensors.items()}
    owners: dict[str, _Owner] = {}
    for owner, module in modules.items():
        for local, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            name = names[id(parameter)]
            facts, site = layers.get((owner, local), (None, None))
            if facts is None:
                facts = _without_layer(module, local, parameter, name, reading)
            is_better = name not in owners or (facts and facts.role in WEIGHTS and owners[name][1].role not in WEIGHTS)
            if facts is not None and is_better:
                owners[name] = (owner, facts, site)
    for name, weight in (reading.weight_of if reading else {}).items():  # wherever a bias is kept, it has a layer
        is_scalar = name.rpartition(".")[2] in SCALARS and name in owners and _is_ours(modules[owners[name][0]])
        if name in owners and not is_scalar and owners[name][2] is None and weight in owners:
            owner, _, site = owners[weight]
            if site is not None:
                owners[name] = (owner, owners[name][1], site)
    return owners


def _without_layer(
    module: nn.Module, local: str, parameter: nn.Parameter, name: str, reading: Reading | None
) -> Facts | None:
    """The facts about a parameter outside of the layers with weights; all but embeddings have no fans yet."""
    if _is_ours(module) and local in SCALARS and parameter.numel() == 1:
        return Facts(SCALARS[local], 0, 0)
    if reading is not None and not isinstance(module, COMPOSITE):
        return reading.facts.get(name)
    if isinstance(module, NORMS):
        return Facts(NORM_ROLES[local], 0, 0) if local in NORM_ROLES else None
    if local in BARE and parameter.ndim > 1:
        return Facts(Role.EMBEDDING, 1, parameter.shape[-1], parts=(BARE[local],))
    return None


def _is_ours(module: nn.Module) -> bool:
    return any(kind.__module__.startswith(OURS) for kind in type(module).__mro__)


def _nearest(modules: Mapping[str, nn.Module], sites: Sequence[Site]) -> dict[str, int]:
    """For each module the index of the last layer up to it, or inside it if it is residual; 0 if there is none."""
    owners = [site.owner for site in sites]
    nearest, seen = {}, 0
    for name, module in modules.items():
        seen += owners.count(name)
        is_residual = isinstance(module, (Branch, Residual))
        inside = [index for index, owner in enumerate(owners) if is_residual and owner.startswith(f"{name}.")]
        nearest[name] = inside[-1] if inside else max(0, seen - 1)
    return nearest
