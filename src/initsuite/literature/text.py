"""Claims in words, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from initsuite.literature.claim import Claim
from initsuite.literature.judging import Judged
from initsuite.literature.verdict import Finding, Verdict
from initsuite.wording import format_count, format_duration

WIDTH = 110


def number(value: float) -> str:
    """Four digits.

    Example:
        >>> number(0.49012), number(float("inf")), number(1234567.0)
        ('0.4901', 'inf', '1.235e+06')
    """
    return f"{value:.4g}"


def effect(finding: Finding) -> str:
    """The estimate with its interval.

    Example:
        >>> effect(Finding(2.0, 1.5, 2.5, "times the steps", "at least 1.5 times"))
        '2 [1.5, 2.5] times the steps; claimed: at least 1.5 times'
    """
    if finding.rule is Verdict.NOT_RUN:
        return f"no evidence yet; claimed: {finding.stated}"
    interval = f"{number(finding.estimate)} [{number(finding.low)}, {number(finding.high)}]"
    return f"{interval} {finding.unit}; claimed: {finding.stated}"


def table(found: Sequence[Judged]) -> str:
    """One line for each claim, and the count of verdicts."""
    rows = [("claim", "verdict", "at the paper's lr", "predicted", "cost", "reference")]
    for each in found:
        mark = "" if each.stands else " (not at 5 % of false discoveries)"
        cost = "?" if each.claim.cost_s is None else format_duration(each.claim.cost_s)
        rows.append((
            each.claim.name, f"{each.verdict}{mark}", str(each.published_verdict or "-"), str(each.claim.expected),
            cost, each.claim.source,
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = ["  ".join([*(cell.ljust(size) for cell, size in zip(row, widths, strict=False)), row[-1]]) for row in rows]
    counts = {verdict: sum(each.verdict is verdict for each in found) for verdict in Verdict}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    surprises = sum(each.is_surprise for each in found)
    last = f"{format_count(len(found), 'claim')}: {said}." + (
        f" {format_count(surprises, 'verdict')} came out against the prediction." if surprises else ""
    )
    return "\n".join([*lines, "", last, "The evidence of one: initsuite claims show NAME"])


def evidence(judged: Judged, results: Path, figure: str = "") -> str:
    """All about one claim."""
    claim = judged.claim
    reference = claim.reference
    source = f"{claim.source}, {reference['title']}, {reference['section']}"
    source += f" (arXiv {reference['arxiv']})" if reference["arxiv"] else ""
    parts = [
        f"{claim.name}: {judged.verdict}"
        + ("" if judged.stands else ", not at 5 % of false discoveries over all claims"),
        claim.statement,
        source,
        f"Setting: {claim.setting}",
        f"Predicted ({claim.expected}): {claim.prediction}",
        *([claim.note] if claim.note else []),
        _criteria(judged),
        *([_published(judged)] if judged.published else []),
        *([f"Discussion: {claim.discussion}"] if claim.discussion else []),
        f"What would change the verdict: {change(judged)}",
        *([f"Figure: {figure}"] if figure else []),
        f"Command: initsuite claims run {claim.name} results_dir={results}",
    ]
    return "\n\n".join(_filled(part) for part in parts)


def _criteria(judged: Judged) -> str:
    return "\n".join(
        f"- {name}: {judged.verdicts[name]}. {effect(finding)}" for name, finding in judged.findings.items()
    )


def _published(judged: Judged) -> str:
    trials = judged.claim.trials
    assert trials is not None
    lines = [f"- {name}: {verdict}. {effect(finding)}" for name, (finding, verdict) in judged.published.items()]
    optimizer = f" with {trials.published_optimizer}" if trials.published_optimizer else ""
    head = f"At the one learning rate of the paper, {trials.published_lr:g}{optimizer}: {judged.published_verdict}"
    return "\n".join([head, *lines])


def change(judged: Judged) -> str:
    """What another result of the same test would need."""
    missing = [name for name, verdict in judged.verdicts.items() if verdict is Verdict.NOT_RUN]
    if missing:
        return f"running it: {len(missing)} of {len(judged.verdicts)} criteria have no evidence."
    said = []
    for name, finding in judged.findings.items():
        verdict = judged.verdicts[name]
        if verdict is Verdict.INCONCLUSIVE:
            more = (
                f"{finding.needed} trials or draws of each arm" if finding.needed else "more trials, or another setting"
            )
            said.append(f"{name}: {more} would decide, the effect being as it is")
        elif verdict is Verdict.REPRODUCED:
            said.append(f"{name}: an effect that is not {finding.stated}")
        else:
            said.append(f"{name}: an effect that is {finding.stated}")
    return "; ".join(said) + "."


def _filled(text: str) -> str:
    lines = text.splitlines()
    return "\n".join(
        line
        if line.startswith("Command: ")
        else textwrap.fill(line, WIDTH, subsequent_indent="  " * line.startswith("- "))
        for line in lines
    )


def plan(claims: Sequence[Claim]) -> str:
    """What a dry run says before the plans."""
    known = [claim.cost_s for claim in claims if claim.cost_s is not None]
    total = format_duration(sum(known)) if known else "not measured"
    unknown = len(claims) - len(known)
    beside = f"; not measured: {unknown}" if known and unknown else ""
    return f"{format_count(len(claims), 'claim')}, on two cores with other work beside it: {total}{beside}"
