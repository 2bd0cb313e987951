"""The arms of a contribution beside those that ship, ranked by final score, each tested against the one above it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from initsuite.literature.claim import Claim
from initsuite.literature.judging import evidence_in, judge
from initsuite.literature.release import claim_in
from initsuite.literature.text import effect
from initsuite.report.evidence.context import counted_scores
from initsuite.report.evidence.evidence import gather_evidence
from initsuite.results.releases import newest_release
from initsuite.results.sources import SHIPPED
from initsuite.results.store import Results, load_results, together
from initsuite.stats.pairwise import holm, sign_flip_test
from initsuite.wording import format_count


def standing_lines(own: Results) -> Iterator[str]:
    """For each context of a contribution its arms, and those of the shipped results in the same context, best
    first: seeds, mean test score, and p against the row above (paired by seed, sign flips, Holm within a context)."""
    own_cells = set(own.trials.cell_id)
    for context in gather_evidence(together([own, *_shipped_in(set(own.trials.context_id))])).contexts:
        scores = {arm.name: counted_scores(arm, context.yardstick) for arm in context.arms}
        ours = {arm.name for arm in context.arms if arm.cell_id in own_cells}
        means = {name: context.yardstick.oriented(float(each.mean())) for name, each in scores.items() if len(each)}
        ranked = sorted(means, key=lambda name: -means[name])
        if not ranked:
            continue
        yield f"{context.title}, {context.lr_rule} ({context.yardstick.metric})"
        p_values = [_p(scores[above], scores[below]) for above, below in pairwise(ranked)]
        for name, p in zip(ranked, [np.nan, *holm(p_values)] if p_values else [np.nan], strict=True):
            where = "" if name in ours else "  (ships)"
            against = "" if np.isnan(p) else f", p against the row above {p:.3g}"
            yield f"  {name}: {scores[name].mean():.4g}, {format_count(len(scores[name]), 'seed')}{against}{where}"


def verdict_lines(claim: Claim, folder: Path) -> Iterator[str]:
    """What a folder says of its claim, and what the release that ships says of a claim of the same name."""
    own = judge(claim, evidence_in(claim, folder))
    release = newest_release()
    place = release / claim.name if release is not None else None
    shipped = judge(claim_in(place), evidence_in(claim_in(place), place)) if place and place.is_dir() else None
    yield f"  {claim.name}: {own.verdict}; ships: {shipped.verdict if shipped else 'no such claim'}"
    for name, finding in own.findings.items():
        yield f"  - {name}: {own.verdicts[name]}. {effect(finding)}"
        if shipped and name in shipped.findings:
            yield f"    ships: {shipped.verdicts[name]}. {effect(shipped.findings[name])}"
    if own.published:
        yield f"  At the one learning rate of the paper: {own.published_verdict}"


def _p(first: pd.Series, second: pd.Series) -> float:
    seeds = first.index.intersection(second.index)
    differences = (first[seeds] - second[seeds]).to_numpy(float)
    return sign_flip_test(differences, rng=np.random.default_rng(0)) if len(seeds) else 1.0


def _shipped_in(contexts: set[str]) -> Iterator[Results]:
    """The shipped trials of these contexts."""
    for folder in SHIPPED.values():
        if not (folder / "trials").is_dir():
            continue
        found = load_results(folder)
        trials = found.trials[found.trials.context_id.isin(contexts)].reset_index(drop=True)
        if len(trials):
            yield Results(trials, found.curves[found.curves.trial_id.isin(trials.trial_id)])
