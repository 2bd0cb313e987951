"""How the trials were measured, in words for a reader who has never seen the project."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from initsuite.report.evidence.notes import commits_of
from initsuite.report.formatting import format_lr
from initsuite.report.verdicts.comparison import Comparison
from initsuite.report.verdicts.recommendations import Report
from initsuite.spec import Stage
from initsuite.wording import format_counts, format_names

STATISTICS = (
    (
        "Everything the same but the initializer",
        "All initializers of a context get the same grid of learning rates (the notes name exceptions), the same "
        "batches for the same seed, the same number of optimizer steps and the same evaluations.",
    ),
    (
        "The recommendation",
        "The leader has the highest success rate (seeds that reach the target), then the fewest median steps to it, "
        "then the smallest loss area. The leader is tested against each other initializer: differences paired by "
        "seed, sign-flip permutation test, p-values adjusted for the number of tests (Holm), at the 5 % level. "
        "“No difference found” is an answer.",
    ),
    (
        "Intervals",
        "All are 95 %. Medians: order statistics, from 5 seeds on; a seed that never reaches the target counts as "
        "infinitely slow and stays in. Means: Student t. Rates: Clopper and Pearson.",
    ),
    (
        "Over contexts",
        "The rules of thumb: signs flipped for each workload and seed at once, every workload weighing the same. "
        "Normalised scores are 0 at chance and 1 at the hard level of the data set, or the best score there is where "
        "none is frozen. Ranks: Friedman with Iman and Davenport, Nemenyi's critical difference.",
    ),
    (
        "Confidence",
        "High: better than every other initializer tried, by the paired test and by the interval of P(better), which "
        "lies above 1/2. Moderate: better than some. Low: undecided, too few seeds to "
        "tell, or nobody reaches the easy level. None: nothing to recommend.",
    ),
)
"""What holds for every store, as headings and texts."""


def protocol_facts(report: Report) -> list[tuple[str, str]]:
    """What the stored trials say about the protocol, as headings and texts."""
    return list(_facts(report)) if report.comparisons else []


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    comparisons, trials = report.comparisons, report.trials
    tuned = [found for found in comparisons if found.context.is_tuned]
    if tuned:
        counts = [count for found in tuned for arm in found.context.arms for count in arm.tuning_seeds.values()]
        grids = "; ".join(_ordered(", ".join(map(format_lr, found.context.lr_grid)) for found in tuned))
        yield (
            "Learning rates",
            f"Tuned for each initializer over the same grid ({grids}) on {format_counts(counts, 'tuning seed')}, not "
            "used again; each is then scored at its best one.",
        )
    if len(tuned) < len(comparisons):
        fixed = _ordered(found.context.lr_rule for found in comparisons if not found.context.is_tuned)
        yield "Not tuned", f"{format_names(fixed)}: one learning rate can decide a ranking by accident."
    counts = [standing.num_seeds for found in comparisons for standing in found.standings if standing.num_seeds]
    if counts:
        yield "Seeds", f"{format_counts(counts, 'scoring seed')} per initializer and context, from 0."
    targets = "; ".join(_ordered(_target(found) for found in comparisons))
    yield "Targets", f"Fixed before the sweep, never computed from it: {targets}."
    yield "Budget", "; ".join(_ordered(_budget(found) for found in comparisons)) + "."
    stages = Counter(trials.stage)
    yield (
        "Trials",
        f"{len(trials):,} of protocol version {trials.protocol_version.max()}: {stages[Stage.TUNE]:,} to tune, "
        f"{stages[Stage.SCORE]:,} to score. Protocol {format_names(_ordered(trials.protocol))}.",
    )
    versions, devices = (format_names(_ordered(trials[name].dropna())) for name in ("torch_version", "device"))
    commits = ", ".join(commits_of(trials)) or "unknown"
    yield "Made with", f"PyTorch {versions} on {devices}; commit {commits}."


def _target(comparison: Comparison) -> str:
    context = comparison.context
    yardstick = context.yardstick
    level = yardstick.levels.get("primary")
    goal = "none yet" if level is None else f"{level:g}"
    return f"{context.axes['dataset']} {goal} ({yardstick.label}, chance {yardstick.chance:g})"


def _budget(comparison: Comparison) -> str:
    context = comparison.context
    steps = f"{context.max_steps} steps of {context.config.get('batch_size', '?')} examples"
    return f"{context.axes['dataset']}: {steps}, evaluated every {context.eval_every}"


def _ordered(values: Iterable[Any]) -> list[str]:
    """The distinct values, in order of appearance."""
    return list(dict.fromkeys(str(value) for value in values))
