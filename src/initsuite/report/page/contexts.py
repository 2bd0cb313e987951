"""The contexts as the page's first screens show them: what is recommended where, in a sentence and in a grid."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from initsuite.report.evidence.context import TUNED, Context
from initsuite.report.text import display
from initsuite.report.verdicts.across import Block, mean_ranks
from initsuite.report.verdicts.comparison import Comparison
from initsuite.report.verdicts.recommendations import NOTHING, Report
from initsuite.report.verdicts.rules import RELU_LIKE, SATURATING
from initsuite.report.verdicts.rulings import TIED, Verdict
from initsuite.report.verdicts.words import Grade
from initsuite.spec import CONTEXT_AXES
from initsuite.wording import format_count, format_names

DOTS = {Grade.HIGH: "●●●", Grade.MODERATE: "●●○", Grade.LOW: "●○○", Grade.NONE: "○○○"}
_KINDS = {
    "mlp": "an MLP", "cnn": "a CNN", "resnet": "a ResNet", "residual_mlp": "a residual MLP", "rnn": "an RNN",
    "lstm": "an LSTM", "gru": "a GRU",
    "transformer": "a transformer", "vit": "a vision transformer", "siren": "a SIREN",
}  # fmt: skip
_ACTIVATIONS = (*RELU_LIKE, *SATURATING)
"""The order in which activations are listed; others follow."""


@dataclass(frozen=True)
class Card:
    """What the page says first about a context.

    Attributes:
        key: unique on the page.
        name: unique in the store, too: what the address of the page says of it.
        facets: what the picker chooses by: the axes, the lr rule and the options that distinguish namesakes.
        kind, shape: the network in words, as `explain_model` gives them.
        tied, undecided: names tied with the recommended one, and those with too few seeds to tell.
        grade, reason: how sure the recommendation is, and why.
        facts: measures of the recommended initializer, as headings and texts.
    """

    key: str
    name: str
    title: str
    lr_rule: str
    facets: Mapping[str, str]
    kind: str
    shape: str
    recommended: str
    tied: tuple[str, ...]
    undecided: tuple[str, ...]
    grade: str
    reason: str
    in_words: str
    article: str
    facts: tuple[tuple[str, str], ...]

    @property
    def is_recommended(self) -> bool:
        return self.recommended != NOTHING


def cards(report: Report) -> list[Card]:
    """One card per comparison, in the order of the report."""
    table = report.recommendations
    score = display.score_heading(table)
    headings = (display.RATE, display.STEPS, "target", score, "best lr", "lr window", "seeds")
    written = display.records(display.recommendations_for_people(table))
    found = []
    for comparison, row, cells in zip(report.comparisons, display.records(table), written, strict=True):
        facts = [(name, str(cells[name])) for name in headings if str(cells[name])] if comparison.leader else []
        found.append(_card(f"c{len(found)}", comparison, row, facts))
    return found


def name_of(title: str, lr_rule: str) -> str:
    """A context under a rule of learning rates, for people and for the address of the page."""
    return title if lr_rule == TUNED else f"{title} · {lr_rule}"


def short_names(found: Sequence[Card]) -> list[str]:
    """The contexts by what distinguishes them alone; the whole name of one that nothing does."""
    varying = _varying(found)
    return [
        " / ".join(value for name, value in card.facets.items() if name in varying and value) or card.name
        for card in found
    ]


def first_shown(found: Sequence[Card]) -> str:
    """The key of the card that the page opens with: the first of the grid."""
    return min(found, key=_place).key if found else ""


def explain_model(context: Context) -> tuple[str, str]:
    """A model in words: what kind of network with its article, and its shape, "" where that is unknown.

    `mlp-30x64` becomes "an MLP" and "30 hidden layers of 64 units".
    """
    model = context.config.get("model") or {}
    kind = _KINDS.get(str(model.get("name")), f"the model {context.axes['model']}")
    layers, width, depth = context.network.hidden_layers, model.get("width"), model.get("depth")
    if isinstance(model.get("widths"), list):
        return kind, f"hidden layers of {format_names([str(width) for width in model['widths']])} units"
    if isinstance(model.get("channels"), list):
        return kind, f"convolutions of {format_names([str(number) for number in model['channels']])} channels"
    if model.get("name") in ("transformer", "vit") and isinstance(depth, int):
        return kind, f"{format_count(depth, 'block')} of width {width}"
    if context.network.is_recurrent and isinstance(width, int) and isinstance(depth, int):
        return kind, f"{format_count(depth, 'recurrent layer')} of {width} units"
    if isinstance(width, int) and layers and model.get("name") != "resnet":
        return kind, f"{format_count(layers, 'hidden layer')} of {width} units"
    return kind, format_count(layers, "hidden layer") if layers else ""


def headline(found: Sequence[Card], block: Block) -> list[tuple[str, str]]:
    """The answer over all contexts: pieces of a sentence, each with what it is ("", "init" or "strong").

    It names the best mean rank over the contexts that share their initializers, as `recommend()` does.

    Args:
        block: those contexts and initializers.
    """
    if not any(card.is_recommended for card in found):
        return [("No initializer can be recommended yet", "strong"), (": the contexts below say why.", "")]
    if not block.comparisons:
        return [("No initializer has test scores yet", "strong"), (": the contexts below say why.", "")]
    (best, rank), *others = mean_ranks(block).items()
    if not others:
        return [(best, "init"), (f" is the only initializer that was scored in {block.size}.", "")]
    second, next_rank = others[0]
    return [
        (f"Over {block.size}, ", ""),
        (best, "init"),
        (f" has the best mean rank by speed, {rank:z.1f} of {len(block.names)}, before ", ""),
        (second, "init"),
        (f" with {next_rank:z.1f}.", ""),
    ]


def safest(found: Sequence[Card]) -> str:
    """The initializer that is most often the best or tied with it, and how sure the choices are."""
    decided = [card for card in found if card.is_recommended]
    if not decided:
        return ""
    first = Counter(card.recommended for card in decided)
    good = first + Counter(name for card in decided for name in card.tied)
    most = max(good.values())
    sentences = []
    if most > max(first.values()):
        names = sorted(name for name, count in good.items() if count == most)
        verb = "is best" if len(names) == 1 else "are each best"
        sentences.append(f"{format_names(names)} {verb}, or not distinguishable from the best, in {most}.")
    grades = Counter(card.grade for card in found)
    sentences.append(f"Confidence is {', '.join(f'{grade} in {grades[grade]}' for grade in Grade if grades[grade])}.")
    if unsettled := sum(bool(card.undecided) for card in decided):
        sentences.append(f"In {unsettled} the seeds are too few to compare every initializer.")
    return " ".join(sentences)


def offered(found: Sequence[Card]) -> dict[str, list[tuple[str, str]]]:
    """What the picker offers: values with their labels, for the axes and for whatever else distinguishes contexts."""
    choices: dict[str, list[tuple[str, str]]] = {}
    for name in found[0].facets if found else ():
        values = sorted({card.facets[name] for card in found}, key=lambda value: rank_of(name, value))
        shapes = {card.facets["model"]: card.shape for card in found} if name == "model" else {}
        if name in CONTEXT_AXES or len(values) > 1:
            labels = [f"{value} ({shapes[value]})" if shapes.get(value) else value or "usual" for value in values]
            choices[name] = list(zip(values, labels, strict=True))
    return choices


@dataclass(frozen=True)
class GridRow:
    """Contexts that differ in the activation alone; `cells` has the cards of each activation."""

    title: str
    explained: str
    cells: tuple[tuple[Card, ...], ...]


def grid(found: Sequence[Card]) -> tuple[list[str], list[GridRow]]:
    """All contexts as workload x activation: the headings of the columns, and the rows."""
    columns = sorted({card.facets["activation"] for card in found}, key=lambda name: rank_of("activation", name))
    groups: dict[tuple[str, ...], list[Card]] = {}
    for card in sorted(found, key=_place):
        key = tuple(value for facet, value in card.facets.items() if facet != "activation")
        groups.setdefault(key, []).append(card)
    # A title has the data set, the model, and the other facets in which the contexts differ.
    titled = {"dataset", "model"} | _varying(found) - {"activation"}
    rows = []
    for group in groups.values():
        title = " / ".join(value for name, value in group[0].facets.items() if name in titled and value)
        cells = tuple(tuple(card for card in group if card.facets["activation"] == name) for name in columns)
        rows.append(GridRow(title, group[0].shape, cells))
    return columns, rows


def _varying(found: Sequence[Card]) -> set[str]:
    return {name for card in found for name, value in card.facets.items() if value != found[0].facets[name]}


def _card(key: str, comparison: Comparison, row: Mapping[str, Any], facts: Sequence[tuple[str, str]]) -> Card:
    context = comparison.context
    kind, shape = explain_model(context)
    return Card(
        key=key,
        name=name_of(context.title, context.lr_rule),
        title=context.title,
        lr_rule=context.lr_rule,
        facets=dict(_facets(context)),
        kind=kind,
        shape=shape,
        recommended=row["recommended"],
        tied=tuple(standing.arm.name for standing in comparison.of(*TIED)),
        undecided=tuple(standing.arm.name for standing in comparison.of(Verdict.TOO_FEW_SEEDS)),
        grade=row["confidence"],
        reason=row["confidence_reason"],
        in_words=row["in_words"],
        article=display.article_text(row),
        facts=tuple(facts),
    )


def _facets(context: Context) -> Iterator[tuple[str, str]]:
    for name in CONTEXT_AXES:
        yield name, str(context.axes[name])
    plain = " / ".join(str(context.axes[name]) for name in CONTEXT_AXES)
    yield "variant", context.title.removeprefix(plain).strip(" ()")
    yield "learning rate", context.lr_rule


def _place(card: Card) -> tuple[Any, ...]:
    """Order in the grid: row by row."""
    names = [*(name for name in card.facets if name != "activation"), "activation"]
    return tuple(rank_of(name, card.facets[name]) for name in names)


def rank_of(facet: str, value: str) -> tuple[Any, ...]:
    """Order of the values of a facet: numbers in them as numbers; ReLU and its variants, then what saturates."""
    is_known = facet == "activation" and value in _ACTIVATIONS
    place = _ACTIVATIONS.index(value) if is_known else len(_ACTIVATIONS)
    parts = re.split(r"(\d+)", value)
    return (place, *((int(part), "") if part.isdigit() else (-1, part) for part in parts))
