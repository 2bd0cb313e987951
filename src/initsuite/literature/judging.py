"""From the stores of claims to their verdicts: what was found, and the table of all."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from initsuite.literature.claim import Claim
from initsuite.literature.criteria import Criterion
from initsuite.literature.evidence import Evidence, flat
from initsuite.literature.trained import MEASURES, trained_evidence
from initsuite.literature.verdict import Finding, Verdict, false_discoveries, joined, verdicts_of, weakest_p
from initsuite.results.sources import SHIPPED
from initsuite.results.store import load_results

EMPTY = Evidence(pd.DataFrame(), {})


@dataclass(frozen=True)
class Judged:
    """A claim with what its store says.

    Attributes:
        findings, verdicts: by the name of a criterion.
        published: the same at the one learning rate of the paper, of the criteria that concern training; empty where
            the paper tuned it.
        stands: whether its verdict stands at a false discovery rate of 5 % over all claims.
    """

    claim: Claim
    findings: dict[str, Finding]
    verdicts: dict[str, Verdict]
    published: dict[str, tuple[Finding, Verdict]]
    stands: bool = True

    @property
    def verdict(self) -> Verdict:
        return joined(list(self.verdicts.values()))

    @property
    def published_verdict(self) -> Verdict | None:
        return joined([verdict for _, verdict in self.published.values()]) if self.published else None

    @property
    def is_surprise(self) -> bool:
        """Whether the verdict is another one than was predicted."""
        return self.verdict not in (Verdict.NOT_RUN, self.claim.expected)


@dataclass(frozen=True)
class Stored:
    """The evidence of a claim: measured starts, trials, and trials at the one learning rate of the paper."""

    starts: Evidence
    trials: Evidence
    published: Evidence

    def for_(self, criterion: Criterion, *, published: bool = False) -> Evidence:
        if is_trained(criterion):
            return self.published if published else self.trials
        return self.starts


def is_trained(criterion: Criterion) -> bool:
    """Whether it asks for trials, and not for measured starts."""
    return criterion.measures[0] in MEASURES


def stored_evidence(claim: Claim, results: Path) -> Stored:
    """What the store of a claim holds, in the folder with all stores.

    Raises:
        StoreError: a store that cannot be read.
    """
    return evidence_in(claim, results / claim.name)


def evidence_in(claim: Claim, folder: Path) -> Stored:
    """What a folder holds of the evidence on a claim.

    Raises:
        StoreError: a store that cannot be read.
    """
    tuned = published = EMPTY
    if (trained := claim.trials) is not None and trained.store:
        tuned = _shipped(trained.store, trained.theory)
    elif trained is not None:
        trials = again = _trials(folder)
        if len(trials) and trained.published_optimizer:
            names = np.array([json.loads(text)["optimizer"]["name"] for text in trials.config.tolist()])
            is_again = names == trained.published_optimizer
            trials, again = trials[~is_again], trials[is_again]
        tuned = trained_evidence(trials, trained.theory) if len(trials) else EMPTY
        if trained.published_lr is not None and len(again):
            published = trained_evidence(again, trained.theory, trained.published_lr)
    return Stored(_starts(folder / "starts"), tuned, published)


@functools.cache
def _shipped(store: str, theory: tuple[str, ...]) -> Evidence:
    trials = _trials(SHIPPED[store])
    return trained_evidence(trials, theory) if len(trials) else EMPTY


def _trials(folder: Path) -> pd.DataFrame:
    return load_results(folder).trials if (folder / "trials").is_dir() else pd.DataFrame()


def _starts(folder: Path) -> Evidence:
    tables = [pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    if not tables:
        return EMPTY
    facts = {table["cell"].iloc[0]: flat(json.loads(table["config"].iloc[0])) for table in tables}
    return Evidence(pd.concat(tables, ignore_index=True).drop(columns=["config", "measures"]), facts)


def judged(claims: Sequence[Claim], results: Path) -> list[Judged]:
    """The claims with their verdicts; what stands is decided over those given.

    Raises:
        StoreError: a store that cannot be read.
    """
    found = [judge(claim, stored_evidence(claim, results)) for claim in claims]
    decided = [weakest_p(list(each.findings.values()), list(each.verdicts.values())) for each in found]
    run = [math.nan if each.verdict is Verdict.NOT_RUN else p for each, p in zip(found, decided, strict=True)]
    return [replace(each, stands=stands) for each, stands in zip(found, false_discoveries(run), strict=True)]


def judge(claim: Claim, stored: Stored) -> Judged:
    """A claim by its evidence alone."""
    findings = {name: criterion.find(stored.for_(criterion)) for name, criterion in claim.criteria.items()}
    verdicts = dict(zip(findings, verdicts_of(list(findings.values())), strict=True))
    again: dict[str, Finding] = {}
    if claim.trials and claim.trials.published_lr is not None:
        trained = {name: each for name, each in claim.criteria.items() if is_trained(each)}
        again = {name: each.find(stored.for_(each, published=True)) for name, each in trained.items()}
    pairs = zip(again.values(), verdicts_of(list(again.values())), strict=True)
    return Judged(claim, findings, verdicts, dict(zip(again, pairs, strict=True)))
