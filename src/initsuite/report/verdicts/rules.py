"""The article's recommendations as questions that stored trials can answer: which arm against which, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from initsuite.protocol.guideline import DEEP_FROM, choice_before, guideline_choice
from initsuite.report.verdicts.comparison import Comparison, Standing
from initsuite.report.verdicts.guideline import activation_name
from initsuite.report.verdicts.heat import workload_key

RELU_LIKE = ("relu", "leaky_relu", "prelu", "elu", "gelu", "silu", "mish", "softplus")
"""ReLU and its variants."""
SATURATING = ("tanh", "sigmoid")


@dataclass(frozen=True)
class Pair:
    """What a recommendation says about one context: that `ours` is the better one.

    Attributes:
        where: the context, in words.
        cluster: its workload, whatever the activation.
        ours: a standing and the comparison it is from.
        theirs: another, from the same comparison or from one that differs in the activation alone.
    """

    where: str
    cluster: str
    ours: tuple[Comparison, Standing]
    theirs: tuple[Comparison, Standing]


@dataclass(frozen=True)
class Sighting:
    """A context in which a statement holds, or does not, or cannot be judged (None)."""

    where: str
    holds: bool | None


Pairs = Callable[[Sequence[Comparison]], Iterator[Pair]]
Sightings = Callable[[Sequence[Comparison]], Iterator[Sighting]]


@dataclass(frozen=True)
class Rule:
    """A recommendation of the article.

    Attributes:
        number: 1 to 7, its place in the article.
        recommendation: in the article's sense.
        test: what is compared, and where.
        pairs: the contexts that are evidence, where it says that one arm is better than another.
        sightings: the same where it says how one arm behaves; one of the two is given.
    """

    number: int
    recommendation: str
    test: str
    pairs: Pairs | None = None
    sightings: Sightings | None = None


def _standing(comparison: Comparison, name: str) -> Standing | None:
    return next((found for found in comparison.standings if found.arm.name == name and found.num_seeds), None)


def _activation(comparison: Comparison) -> str:
    return activation_name(comparison.context)


def _layers(comparison: Comparison) -> int:
    return comparison.context.network.hidden_layers


def _choice(comparison: Comparison) -> str:
    return guideline_choice(comparison.context.network, _activation(comparison))


def _against(ours: str, theirs: str | None, applies: Callable[[Comparison], bool]) -> Pairs:
    """Two arms of each context that `applies`; `theirs` None = the article's choice for the activation alone."""

    def pairs(comparisons: Sequence[Comparison]) -> Iterator[Pair]:
        for found in filter(applies, comparisons):
            first = _standing(found, ours)
            second = _standing(found, theirs or choice_before(_activation(found)))
            if first and second:
                cluster = workload_key(found, "activation")
                yield Pair(found.context.title, cluster, (found, first), (found, second))

    return pairs


def _he_with_relu(comparisons: Sequence[Comparison]) -> Iterator[Pair]:
    with_relu = {workload_key(found, "activation"): found for found in comparisons if _activation(found) == "relu"}
    for found in comparisons:
        workload = workload_key(found, "activation")
        relu = with_relu.get(workload)
        if relu is None or _activation(found) == "relu":
            continue
        ours, theirs = _standing(relu, "he"), _standing(found, _choice(found))
        if ours and theirs:
            yield Pair(f"{found.context.title}, {theirs.arm.name}", workload, (relu, ours), (found, theirs))


def _zero_learns_nothing(comparisons: Sequence[Comparison]) -> Iterator[Sighting]:
    for found in comparisons:
        if standing := _standing(found, "zero"):
            yield Sighting(found.context.title, standing.near_chance)


def _normal_vanishes(comparisons: Sequence[Comparison]) -> Iterator[Sighting]:
    groups: dict[str, list[Comparison]] = {}
    for found in comparisons:
        groups.setdefault(workload_key(found, "depth"), []).append(found)
    for group in groups.values():
        shallow = min(group, key=_layers)
        before = _standing(shallow, "normal")
        for deep in group:
            after = _standing(deep, "normal")
            if before and after and _layers(shallow) < DEEP_FROM <= _layers(deep):
                # Where it does not even train the shallow network, depth cannot be what stops it.
                holds = after.near_chance if not before.near_chance else None
                yield Sighting(f"{deep.context.title} beside {_layers(shallow)} hidden layers", holds)


RULES = (
    Rule(
        1,
        "He for ReLU and its variants",
        "he against xavier, at ReLU and its variants",
        pairs=_against("he", "xavier", lambda found: _activation(found) in RELU_LIKE),
    ),
    Rule(
        2,
        "Xavier for tanh and sigmoid",
        "xavier against he, at tanh and sigmoid",
        pairs=_against("xavier", "he", lambda found: _activation(found) in SATURATING),
    ),
    Rule(
        3,
        "Orthogonal for recurrent and very deep networks",
        f"orthogonal against what the article says for the activation alone (xavier at tanh and sigmoid, else he), in "
        f"recurrent networks and from {DEEP_FROM} hidden layers",
        pairs=_against("orthogonal", None, lambda found: _choice(found) == "orthogonal"),
    ),
    Rule(
        4,
        "Biases zero",
        "he against he_random_biases, whose biases are N(0, 0.1²), everywhere",
        pairs=_against("he", "he_random_biases", lambda _: True),
    ),
    Rule(
        5,
        "When in doubt, He with ReLU",
        "he with ReLU against the article's choice at each other activation of the same workload",
        pairs=_he_with_relu,
    ),
    Rule(
        6,
        "Zero initialization learns nothing",
        "whether zero stays near chance at every lr tried",
        sightings=_zero_learns_nothing,
    ),
    Rule(
        7,
        "Small random normal vanishes with depth",
        "whether normal trains a shallow network but stays near chance at every lr tried "
        f"from {DEEP_FROM} hidden layers",
        sightings=_normal_vanishes,
    ),
)
"""In the article's order."""
