"""The contexts as the page's first screens show them: what is recommended where, in a sentence and in a grid."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from initsuite.report.evidence.context import Context
from initsuite.report.text.display import (
    RATE,
    STEPS,
    article_text,
    recommendations_for_people,
    records,
    score_heading,
)
from initsuite.report.verdicts.comparison import Comparison, Verdict
from initsuite.report.verdicts.recommendations import NOTHING, Report
from initsuite.report.verdicts.rules import RELU_LIKE, SATURATING
from initsuite.report.verdicts.words import Grade
from initsuite.wording import format_count, format_names

DOTS = {Grade.HIGH: "●●●", Grade.MODERATE: "●●○", Grade.LOW: "●○○", Grade.NONE: "○○○"}
FACETS = ("dataset", "model", "activation", "optimizer")
_KINDS = {
    **{"mlp": "an MLP", "cnn": "a CNN", "resnet": "a ResNet", "rnn": "an RNN", "lstm": "an LSTM", "gru": "a GRU"},
    **{"transformer": "a transformer", "vit": "a vision transformer", "siren": "a SIREN"},
}
_ORDER = (*RELU_LIKE, *SATURATING)
"""Of activations."""


@dataclass(frozen=True)
class Card:
    """What the page says first of a context.

    Attributes:
        key: of the comparison, unique on the page.
        facets: what the picker chooses by: the axes, the lr rule and the options that tell namesakes apart.
        kind: of network, with its article.
        shape: of the network, in words; "" where nothing is known.
        others: names tied with the recommended one, and those with too few seeds to tell.
        grade: of confidence.
        reason: why that grade.
        facts: measures of the recommended initializer, headings and texts.
    """

    key: str
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
    """One a comparison, in the order of the report."""
    table = report.recommendations
    headings = (RATE, STEPS, "target", score_heading(table), "best lr", "lr window", "seeds")
    found = []
    written = records(recommendations_for_people(table))
    for comparison, row, cells in zip(report.comparisons, records(table), written, strict=True):
        facts = [(name, str(cells[name])) for name in headings if str(cells[name])] if comparison.leader else []
        found.append(_card(f"c{len(found)}", comparison, row, facts))
    return found


def first_shown(found: Sequence[Card]) -> str:
    """The key of the card that the page opens with: the first of the grid."""
    return min(found, key=_place).key if found else ""


def explain_model(context: Context) -> tuple[str, str]:
    """The label of a model in words: what kind of network, and its shape.

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


def headline(found: Sequence[Card]) -> list[tuple[str, str]]:
    """The answer of all contexts together: pieces of a sentence with what they are ("", "init" or "strong")."""
    chosen = Counter(card.recommended for card in found if card.is_recommended)
    if not chosen:
        return [("No initializer can be recommended yet", "strong"), (": the contexts below say why.", "")]
    if len(chosen) == 1 and len(found) == sum(chosen.values()):
        return [
            (next(iter(chosen)), "init"),
            (f" is the first choice in all {format_count(len(found), 'context')}.", ""),
        ]
    listed = chosen.most_common(3)
    others = sum(chosen.values()) - sum(count for _, count in listed)
    pieces = [(f"Of {format_count(len(found), 'context')}, ", "")]
    for place, (name, count) in enumerate(listed):
        is_last = place == len(listed) - 1 and not others
        pieces.append((("" if not place else " and " if is_last else ", "), ""))
        pieces += [(name, "init"), (f" is the first choice in {count}" if not place else f" in {count}", "")]
    nothing = len(found) - sum(chosen.values())
    rest = f" and others in {others}" if others else ""
    return [*pieces, (f"{rest}; in {nothing} there is none." if nothing else f"{rest}.", "")]


def safest(found: Sequence[Card]) -> str:
    """The initializer that is most often the best or not told apart from it, and how sure the choices are."""
    told = [card for card in found if card.is_recommended]
    if not told:
        return ""
    first = Counter(card.recommended for card in told)
    good = first + Counter(name for card in told for name in card.tied)
    sentences = []
    if good and good.most_common(1)[0][1] > first.most_common(1)[0][1]:
        most = good.most_common(1)[0][1]
        names = sorted(name for name, count in good.items() if count == most)
        verb = "is best" if len(names) == 1 else "are each best"
        sentences.append(f"{format_names(names)} {verb}, or not told apart from the best, in {most}.")
    grades = Counter(card.grade for card in found)
    sentences.append(f"Confidence is {', '.join(f'{grade} in {grades[grade]}' for grade in Grade if grades[grade])}.")
    if unsettled := sum(bool(card.undecided) for card in told):
        sentences.append(f"In {unsettled} the seeds are too few to compare every initializer.")
    return " ".join(sentences)


def offered(found: Sequence[Card]) -> dict[str, list[tuple[str, str]]]:
    """What the picker offers: values with their labels, for the axes and for what else tells contexts apart."""
    explained = {card.facets["model"]: card.shape for card in found}
    choices: dict[str, list[tuple[str, str]]] = {}
    for name in found[0].facets if found else ():
        values = sorted({card.facets[name] for card in found}, key=lambda value: _rank(name, value))
        labels = [
            f"{value} ({explained[value]})" if name == "model" and explained[value] else value for value in values
        ]
        if name in FACETS or len(values) > 1:
            choices[name] = [(value, label or "usual") for value, label in zip(values, labels, strict=True)]
    return choices


@dataclass(frozen=True)
class GridRow:
    """Contexts that differ in the activation alone.

    Attributes:
        cells: [activation], the cards there.
    """

    title: str
    explained: str
    cells: tuple[tuple[Card, ...], ...]


def grid(found: Sequence[Card]) -> tuple[list[str], list[GridRow]]:
    """All contexts as workload x activation: the headings of the columns, and the rows."""
    columns = list(dict.fromkeys(card.facets["activation"] for card in sorted(found, key=_place)))
    columns.sort(key=lambda name: _rank("activation", name))
    groups: dict[tuple[str, ...], list[Card]] = {}
    for card in sorted(found, key=_place):
        key = tuple(value for facet, value in card.facets.items() if facet != "activation")
        groups.setdefault(key, []).append(card)
    names = found[0].facets if found else ()
    told_apart = [name for name in names if name not in ("dataset", "model", "activation")]
    told_apart = [name for name in told_apart if len({card.facets[name] for card in found}) > 1]
    rows = []
    for group in groups.values():
        facets = group[0].facets
        title = " / ".join([facets["dataset"], facets["model"], *filter(None, (facets[name] for name in told_apart))])
        cells = tuple(tuple(card for card in group if card.facets["activation"] == name) for name in columns)
        rows.append(GridRow(title, group[0].shape, cells))
    return columns, rows


def _card(key: str, comparison: Comparison, row: Mapping[str, Any], facts: Sequence[tuple[str, str]]) -> Card:
    context = comparison.context
    kind, shape = explain_model(context)
    return Card(
        key=key,
        title=context.title,
        lr_rule=context.lr_rule,
        facets=dict(_facets(context)),
        kind=kind,
        shape=shape,
        recommended=row["recommended"],
        tied=tuple(standing.arm.name for standing in comparison.of(Verdict.NO_DIFFERENCE)),
        undecided=tuple(standing.arm.name for standing in comparison.of(Verdict.TOO_FEW_SEEDS)),
        grade=row["confidence"],
        reason=row["confidence_reason"],
        in_words=row["in_words"],
        article=article_text(row),
        facts=tuple(facts),
    )


def _facets(context: Context) -> Iterator[tuple[str, str]]:
    for name in FACETS:
        yield name, str(context.axes[name])
    plain = " / ".join(str(context.axes[name]) for name in FACETS)
    yield "variant", context.title.removeprefix(plain).strip(" ()")
    yield "learning rate", context.lr_rule


def _place(card: Card) -> tuple[Any, ...]:
    """Order in the grid: row by row."""
    names = [*(name for name in card.facets if name != "activation"), "activation"]
    return tuple(_rank(name, card.facets[name]) for name in names)


def _rank(facet: str, value: str) -> tuple[Any, ...]:
    """Order of the values of a facet: numbers in them as numbers, activations by their kind."""
    place = _ORDER.index(value) if facet == "activation" and value in _ORDER else len(_ORDER)
    parts = re.split(r"(\d+)", value)
    return (place, *((int(part), "") if part.isdigit() else (-1, part) for part in parts))
