#!/usr/bin/env python3
"""Work out what `initsuite.recommend` answers from the shipped reference. Run by a maintainer whenever its trials, or
the words and statistics of an answer, change.

    python scripts/derive_reference.py

It compares the trials in src/initsuite/results/reference and src/initsuite/results/interaction, taken together, and
writes the answers to all questions about them into the folder `derived` of the first, with the hash of the trials,
their cost and the code that answered. Nothing is trained.
"""

from __future__ import annotations

from typing import Any

from initsuite.provenance import provenance
from initsuite.report.answer import derive
from initsuite.report.derived import FOLDER, write_derived
from initsuite.report.verdicts.recommendations import Report, build_report
from initsuite.results.sources import REFERENCE_STORE, SHIPPED, load_shipped
from initsuite.results.store import store_hash

MINUTE = 60


def main() -> None:
    report = build_report(load_shipped())
    derived = derive(report)
    write_derived(tuple(SHIPPED.values()), derived, origin_of(report))
    print(f"{len(derived.answers)} answers about {len(derived.tried)} contexts in {REFERENCE_STORE / FOLDER}")


def origin_of(report: Report) -> dict[str, Any]:
    """What was measured, what it cost, and the code that answers; by experiment its trials and minutes of one core."""
    trials = report.results.trials
    by_experiment = trials.groupby("experiment")
    return {
        "store_hash": store_hash(trials),
        "trials": by_experiment.size().to_dict(),
        "core_minutes": (by_experiment.wall_s.sum() / MINUTE).round(1).to_dict(),
        "trained": [trials.written_at.min(), trials.written_at.max()],
        **provenance(),
    }


if __name__ == "__main__":
    main()
