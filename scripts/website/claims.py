"""The claims: a page each, from its file in conf/claim and, where it was run, its store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from initsuite.config.catalogue import formula_of
from initsuite.config.groups import conf_dir
from initsuite.literature.claim import Claim
from initsuite.literature.criteria import KINDS
from initsuite.literature.figure import draw
from initsuite.literature.judging import Judged, stored_evidence
from initsuite.literature.text import change, effect
from initsuite.literature.verdict import Finding, Verdict
from initsuite.results.releases import MANIFEST, read_release
from initsuite.wording import format_count, format_duration
from website.markdown import escaped, page, section, table, toctree

NOT_RUN = "Not run yet: the store that was read holds nothing of it."


def claim_pages(found: Sequence[Judged], results: Path, folder: Path) -> dict[str, str]:
    """The pages by their name on the site.

    Args:
        found: what the stores say.
        results: the folder with a store for each claim.
        folder: the sources of the site, into which the figures are drawn.
    """
    pages = {f"claims/{each.claim.name}.md": _page(each, _figure(each.claim, results, folder)) for each in found}
    names = [each.claim.name for each in found]
    pages["claims/index.md"] = page("Verdicts", _summary(found), _origin(results), _overview(found), toctree(names))
    return pages


def verdict_of(each: Judged) -> str:
    """In words, with what it is worth over all claims."""
    if each.verdict is Verdict.NOT_RUN:
        return "not run yet"
    return str(each.verdict) + ("" if each.stands else " (not at 5 % of false discoveries)")


def _summary(found: Sequence[Judged]) -> str:
    counts = {verdict: sum(each.verdict is verdict for each in found) for verdict in Verdict}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    surprises = sum(each.is_surprise for each in found)
    against = f" {format_count(surprises, 'verdict')} came out against the prediction." if surprises else ""
    return (
        f"{format_count(len(found), 'claim')} of the literature: {said}.{against} [What a claim is, and how it is "
        "judged](../claims.md); a prediction is written down before the run and never edited after it."
    )


def _origin(results: Path) -> str:
    """Which release it is, if it is one."""
    return f"From the release that ships: {read_release(results).line}." if (results / MANIFEST).is_file() else ""


def _overview(found: Sequence[Judged]) -> str:
    rows = [
        [
            f"[{each.claim.name}]({each.claim.name}.md)",
            verdict_of(each),
            str(each.published_verdict) if _is_published(each) else "",
            str(each.claim.expected),
            escaped(formula_of(_file(each.claim))),
        ]
        for each in found
    ]
    return table(["claim", "verdict", "at the paper's lr", "predicted", "what it says"], rows)


def _is_published(each: Judged) -> bool:
    """Whether it was judged at the one learning rate of its paper, too."""
    return each.published_verdict not in (None, Verdict.NOT_RUN)


def _file(claim: Claim) -> str:
    return (conf_dir() / "claim" / f"{claim.name}.yaml").read_text(encoding="utf-8")


def _figure(claim: Claim, results: Path, folder: Path) -> str:
    drawn = draw(claim, stored_evidence(claim, results), folder / "claims" / claim.name)
    return f"{claim.name}/figure.png" if drawn else ""


def _page(each: Judged, figure: str) -> str:
    claim = each.claim
    is_run = each.verdict is not Verdict.NOT_RUN
    return page(
        claim.name,
        escaped(claim.statement),
        _source(claim.reference),
        f"**Verdict: {verdict_of(each)}.** Predicted: {claim.expected}."
        + (" It came out against the prediction." if each.is_surprise else ""),
        "" if is_run else NOT_RUN,
        f"![{claim.figure['y']} over {claim.figure['x']}]({figure})" if figure else "",
        section("Prediction", escaped(claim.prediction), escaped(claim.note)),
        section("Setting", escaped(claim.setting)),
        section(
            "Criteria", _criteria(claim, {name: (each.findings[name], each.verdicts[name]) for name in each.findings})
        ),
        _published(each),
        section("Discussion", escaped(claim.discussion)),
        section("What would change the verdict", escaped(change(each)) if is_run else ""),
        section("Run it", _commands(claim.name), _cost(claim), _sweep(claim)),
    )


def _commands(name: str) -> str:
    return f"```text\ninitsuite claims run {name}\ninitsuite claims show {name}\n```"


def _source(reference: Mapping[str, Any]) -> str:
    place = str(reference["section"])
    place = f"section {place}" if place[:1].isdigit() else place
    words = f"{reference['authors']} {reference['year']}, *{escaped(str(reference['title']))}*, {place}"
    number = reference["arxiv"]
    return words + (f", [arXiv {number}](https://arxiv.org/abs/{number})." if number else ".")


def _criteria(claim: Claim, found: Mapping[str, tuple[Finding, Verdict]]) -> str:
    kinds = {kind: name for name, kind in KINDS.items()}
    rows = [
        [escaped(name), f"`{kinds[type(claim.criteria[name])]}`", str(verdict), escaped(effect(finding))]
        for name, (finding, verdict) in found.items()
    ]
    return table(["criterion", "[kind](../claims.md)", "verdict", "effect [95 %]"], rows)


def _published(each: Judged) -> str:
    if each.claim.trials is None or not _is_published(each):
        return ""
    title = f"At the one learning rate of the paper, {each.claim.trials.published_lr:g}"
    return section(title, f"Verdict there: {each.published_verdict}.", _criteria(each.claim, each.published))


def _sweep(claim: Claim) -> str:
    """What is measured and what is trained, as its file says."""
    tree = yaml.safe_load(_file(claim))
    parts = {key: tree[key] for key in ("starts", "trials") if tree.get(key)}
    text = yaml.safe_dump(parts, sort_keys=False, width=100).strip()
    return f"What it measures before the first step (`starts`), and trains:\n\n```yaml\n{text}\n```"


def _cost(claim: Claim) -> str:
    tier = "It belongs to the fast tier, which is run before a release." if claim.tier == "fast" else ""
    cost = (
        ""
        if claim.cost_s is None
        else f"On two cores, with other work beside it, it took {format_duration(claim.cost_s)}."
    )
    return " ".join(part for part in (cost, tier) if part)
