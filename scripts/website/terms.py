"""The words of the statistics: a function for each, whose docstring explains it and whose body draws it.

The numbers are planted, small and always the same; what is drawn is computed by `initsuite.stats`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from initsuite.report.colours import colour
from initsuite.report.figures.style import STYLE
from initsuite.stats.aggregate import iqm
from initsuite.stats.intervals import CONFIDENCE, mean_interval, median_interval, success_rate
from initsuite.stats.pairwise import holm, probability_of_improvement, sign_flip_test, smallest_p
from initsuite.stats.profiles import performance_profile
from initsuite.stats.ranks import cliques, critical_difference
from website.markdown import escaped, page, section

SIZE = (4.6, 1.8)
"""Inches."""
HE, XAVIER, ORTHOGONAL, NORMAL = (colour(name) for name in ("he", "xavier", "orthogonal", "normal"))
GREY = "#666666"


def steps_to_target(axes: Axes) -> None:
    """Steps to the target: speed.

    The first evaluated step at which the validation score has reached the frozen primary level of the data set. A seed
    that never gets there within the budget counts as infinite, not as missing.
    """
    steps = np.arange(0, 301, 20)
    for name, rate in (("he", 55), ("orthogonal", 90), ("normal", 420)):
        curve = 0.1 + 0.88 * (1 - np.exp(-steps / rate))
        axes.plot(steps, curve, color=colour(name), label=name)
        reached = np.flatnonzero(curve >= 0.9)
        if len(reached):
            axes.plot(steps[reached[0]], curve[reached[0]], "o", color=colour(name))
    axes.axhline(0.9, color=GREY, linestyle="--", linewidth=1)
    axes.text(2, 0.92, "primary level", color=GREY)
    axes.set(xlabel="step", ylabel="validation score", ylim=(0, 1.05))
    axes.legend(frameon=False, loc="lower right")


def tuned_learning_rate(axes: Axes) -> None:
    """The learning rate of each initializer.

    Every initializer is scored at the learning rate that is best for it on tuning seeds. At one shared rate, the dashed
    line, the initializer that it happens to suit would win.
    """
    lrs = np.logspace(-3, 0, 7)
    for name, best in (("he", 0.03), ("orthogonal", 0.2)):
        score = 0.95 - 0.25 * np.log10(lrs / best) ** 2
        axes.plot(lrs, score, "o-", ms=3, color=colour(name), label=name)
    axes.axvline(0.03, color=GREY, linestyle="--", linewidth=1)
    axes.set(xscale="log", xlabel="learning rate", ylabel="validation score", ylim=(0.3, 1))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.legend(frameon=False, loc="lower left")


def rate_of_success(axes: Axes) -> None:
    """Success rate.

    The share of scoring seeds that reach the target, with Clopper and Pearson's interval of 95 %. The interval says how
    little few seeds know: after 6 of 6 the true share may still be as low as 54 %.
    """
    shown = [(hits, count) for count in (6, 10, 30) for hits in (count, count // 2)]
    for place, (hits, count) in enumerate(shown):
        found = success_rate([True] * hits + [False] * (count - hits))
        axes.plot([found.low, found.high], [place, place], color=HE, linewidth=2)
        axes.plot(found.estimate, place, "o", color=HE)
    axes.set_yticks(range(len(shown)), [f"{hits} of {count} seeds" for hits, count in shown])
    axes.set(xlabel="share that reaches the target", xlim=(0, 1.02), ylim=(5.6, -0.6))


def interval_of_the_median(axes: Axes) -> None:
    """The interval of a median.

    Two of the sorted values bound it, which assumes nothing about how the seeds are distributed. Fewer than 5 seeds
    cannot give a median an interval of 95 %, and the table says so.
    """
    rng = np.random.default_rng(1)
    for place, count in enumerate((5, 10, 30)):
        values = 100 + 30 * rng.gamma(2, 1, count)
        found = median_interval(values)
        axes.plot([found.low, found.high], [place, place], color=HE, linewidth=6, alpha=0.3, solid_capstyle="butt")
        axes.plot(values, [place] * count, "o", ms=3, color=HE, alpha=0.6)
        axes.plot(found.estimate, place, "|", ms=14, color="black")
    axes.set_yticks(range(3), ["5 seeds", "10 seeds", "30 seeds"])
    axes.set(xlabel="steps to the target", ylim=(2.6, -0.6))


def interval_of_the_mean(axes: Axes) -> None:
    """The interval of a mean.

    Student's t, of final scores: in 95 of 100 repetitions it holds the true mean, the dashed line. Each row here is a
    repetition with ten seeds; those in orange miss.
    """
    rng = np.random.default_rng(4)
    for place in range(20):
        found = mean_interval(rng.normal(0.9, 0.02, 10))
        shade = HE if found.low <= 0.9 <= found.high else NORMAL
        axes.plot([found.low, found.high], [place, place], color=shade, linewidth=1.5)
        axes.plot(found.estimate, place, "o", ms=2, color=shade)
    axes.axvline(0.9, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="final score", yticks=[], ylabel="repetitions")


def probability_better(axes: Axes) -> None:
    """P(better).

    The probability that a seed of one initializer beats a seed of the other, ties counting half, with Newcombe's
    interval. 0.5 is no difference; between 0.4 and 0.6 nobody would notice one.
    """
    rng = np.random.default_rng(2)
    base = rng.normal(0, 1, 10)
    for place, shift in enumerate((0.0, 0.8, 2.5)):
        found = probability_of_improvement(rng.normal(shift, 1, 10), base)
        axes.plot([found.low, found.high], [place, place], color=XAVIER, linewidth=2)
        axes.plot(found.estimate, place, "o", color=XAVIER)
    axes.axvspan(0.4, 0.6, color=GREY, alpha=0.15, linewidth=0)
    axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
    axes.set_yticks(range(3), ["alike", "a little faster", "much faster"])
    axes.set(xlabel="P(better), ten seeds each", xlim=(0, 1), ylim=(2.6, -0.6))


def paired_by_seed(axes: Axes) -> None:
    """Paired by seed.

    Both initializers of a seed see the same batches in the same order, so that their difference is that of the
    initializers. Seeds scatter more than initializers differ: the pairs show a difference that the two groups hide.
    """
    rng = np.random.default_rng(3)
    seed = rng.normal(0, 12, 10)
    for place, (slow, fast) in enumerate(zip(160 + seed, 150 + seed + rng.normal(0, 3, 10), strict=True)):
        axes.plot([slow, fast], [place, place], color=GREY, linewidth=0.8)
        axes.plot(slow, place, "o", ms=4, color=XAVIER, label="xavier" if place == 0 else None)
        axes.plot(fast, place, "o", ms=4, color=HE, label="he" if place == 0 else None)
    axes.set(xlabel="steps to the target", ylabel="seed", yticks=[])
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def sign_flips(axes: Axes) -> None:
    """The sign-flip test.

    If two initializers were alike, each paired difference might as well have the other sign: p is the share of all
    patterns of signs with a sum at least as far from 0 as the one that was seen. It needs no law of the differences.
    """
    rng = np.random.default_rng(5)
    differences = rng.normal(9, 8, 8)
    patterns = 1 - 2 * ((np.arange(2**8)[:, None] >> np.arange(8)) & 1)
    axes.hist((patterns @ differences) / 8, bins=40, color=GREY, alpha=0.5)
    for sign in (-1, 1):
        axes.axvline(sign * differences.mean(), color=HE)
    axes.set_title(f"p = {sign_flip_test(differences, rng=rng):.3f}")
    axes.set(xlabel="mean difference in steps, all patterns of signs", ylabel="patterns")


def smallest_p_value(axes: Axes) -> None:
    """The smallest p, and Holm's adjustment.

    With n seeds no p can be below 2^(1-n), and a leader that is compared with m others needs 0.05/m: below the dashed
    lines a claim is possible. So 6 seeds can decide between two initializers, and 8 between up to seven.
    """
    counts = np.arange(3, 13)
    axes.semilogy(counts, [smallest_p(int(count)) for count in counts], "o-", ms=4, color=HE)
    for others in (1, 6, 25):
        axes.axhline((1 - CONFIDENCE) / others, color=GREY, linestyle="--", linewidth=1)
        axes.text(12.3, (1 - CONFIDENCE) / others, f"{others} other{'s' * (others > 1)}", color=GREY, va="center")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="scoring seeds", ylabel="smallest p", xlim=(2.8, 12.2))


def adjusted_p_values(axes: Axes) -> None:
    """Adjusted p-values.

    Who asks ten questions at 5 % each gets an answer by accident four times in ten, so p-values of one leader against
    several others are raised by Holm's rule. A comparison counts where the adjusted p, the filled dot, is below 0.05.
    """
    raw = np.array([0.004, 0.012, 0.03, 0.2])
    for place, (before, after) in enumerate(zip(raw, holm(raw), strict=True)):
        axes.plot([before, after], [place, place], color=GREY, linewidth=0.8)
        axes.plot(before, place, "o", mfc="white", color=XAVIER)
        axes.plot(after, place, "o", color=XAVIER)
    axes.axvline(0.05, color=HE, linestyle="--", linewidth=1)
    axes.set(xscale="log", xlabel="p, before (open) and after the adjustment", yticks=[], ylim=(-0.6, 3.6))
    axes.xaxis.set_major_formatter("{x:g}")


def grades_of_confidence(axes: Axes) -> None:
    """Confidence: high, moderate, low.

    High means better than every other initializer, moderate than some, low than none; better means by the paired test
    and with the whole interval of P(better) above 1/2. A row is a leader, a bar its interval against one other.
    """
    grades = {
        "low": [(0.35, 0.8), (0.4, 0.85)],
        "moderate": [(0.42, 0.88), (0.7, 0.97)],
        "high": [(0.6, 0.93), (0.72, 0.99)],
    }
    for place, bars in enumerate(grades.values()):
        for offset, (low, high) in zip((-0.15, 0.15), bars, strict=True):
            shade = ORTHOGONAL if low > 0.5 else GREY
            axes.plot([low, high], [place + offset] * 2, color=shade, linewidth=3, solid_capstyle="butt")
    axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(grades)), list(grades))
    axes.set(xlabel="P(leader is better)", xlim=(0, 1), ylim=(2.6, -0.6))


def interquartile_mean(axes: Axes) -> None:
    """Interquartile mean.

    The mean of all scores without their lowest and highest quarter, over seeds and workloads together. It is steadier
    than a mean, which one failed seed moves, and uses more of the scores than a median.
    """
    scores = np.sort(np.append(np.random.default_rng(6).normal(0.8, 0.05, 15), 0.1))
    kept = slice(len(scores) // 4, len(scores) - len(scores) // 4)
    axes.plot(scores, np.zeros(len(scores)), "o", mfc="white", color=GREY)
    axes.plot(scores[kept], np.zeros(len(scores[kept])), "o", color=HE)
    for value, name, height in ((float(iqm([scores])), "interquartile mean", 0.6), (scores.mean(), "mean", -0.6)):
        axes.plot([value, value], [0, height], color="black", linewidth=1)
        axes.text(value, height, name, ha="right", va="center")
    axes.set(xlabel="normalised score", yticks=[], ylim=(-1, 1))


def profile(axes: Axes) -> None:
    """Performance profile.

    For each factor, the share of workloads on which an initializer takes at most that many times the steps of the
    fastest one. High on the left is often fastest; high on the right is nearly always good enough.
    """
    times = np.array([[100, 140, 100, 200, 150], [110, 100, 130, 180, 190], [300, 220, 160, math.inf, math.inf]])
    factors = np.linspace(1, 3.5, 200)
    for name, heights in zip(("he", "orthogonal", "normal"), performance_profile(times, factors), strict=True):
        axes.step(factors, heights, color=colour(name), where="post", label=name)
    axes.set(xlabel="times the steps of the fastest", ylabel="share of workloads", ylim=(0, 1.05))
    axes.legend(frameon=False, loc="lower right")


def critical_difference_of_ranks(axes: Axes) -> None:
    """Ranks and the critical difference.

    Initializers are ranked on each workload, and Friedman's test asks whether their mean ranks differ at all. Two of
    them differ where their mean ranks are further apart than Nemenyi's critical difference; a bar joins those that are
    not.
    """
    names, ranks = ("he", "orthogonal", "xavier", "normal"), np.array([1.6, 1.9, 2.8, 3.7])
    distance = critical_difference(4, 18)
    for name, rank in zip(names, ranks, strict=True):
        axes.plot(rank, 0, "o", color=colour(name))
        axes.text(rank, 0.18, name, ha="center")
    for place, group in enumerate(cliques(ranks, distance)):
        low, high = ranks[list(group)].min(), ranks[list(group)].max()
        axes.plot([low, high], [-0.2 - 0.15 * place] * 2, color="black", linewidth=3, solid_capstyle="butt")
    axes.plot([1, 1 + distance], [0.6, 0.6], color=GREY, linewidth=2)
    axes.text(1 + distance, 0.6, " critical difference, 18 workloads", color=GREY, va="center")
    axes.set(xlabel="mean rank (1 is best)", xlim=(0.9, 4.1), yticks=[], ylim=(-0.6, 0.9))


TERMS: tuple[Callable[[Axes], None], ...] = (
    steps_to_target, rate_of_success, tuned_learning_rate, interval_of_the_median, interval_of_the_mean,
    paired_by_seed, sign_flips, probability_better, grades_of_confidence, smallest_p_value, adjusted_p_values,
    interquartile_mean, profile, critical_difference_of_ranks,
)  # fmt: skip


def statistics_page(folder: Path) -> str:
    """The page; its pictures are drawn into a folder of the sources of the site."""
    (folder / "terms").mkdir(exist_ok=True)
    sections = []
    for term in TERMS:
        title, text = (inspect.getdoc(term) or "").split("\n\n")
        _draw(term, folder / "terms" / f"{term.__name__}.svg")
        picture = f"![{title}](terms/{term.__name__}.svg)"
        sections.append(section(title.rstrip("."), escaped(" ".join(text.split())), picture))
    first = (
        "The words of the tables and pages of a report, each in two sentences. The numbers in the pictures are made "
        "up; what is drawn is computed by the functions that the report uses. [Reading the report]"
        "(reading-the-report.md) says where each of them stands, and [how many seeds](seeds.md) what they ask for."
    )
    return page("The statistics, in pictures", first, *sections)


def _draw(term: Callable[[Axes], None], path: Path) -> None:
    with mpl.rc_context({**STYLE, "svg.fonttype": "path"}):
        figure = Figure(SIZE, layout="constrained")
        term(figure.add_subplot())
        figure.savefig(path, metadata={"Date": None})
