"""From raw timings to the table: as plain values for JSON, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.rows import AT_MOST, LIMIT, Row
from benchmark.timing import Timing, rate_ratios, spread

Record = dict[str, Any]
HEAD = (
    "row",
    "work",
    "against",
    "suite",
    "other",
    "ratio: median (range of n)",
    "to reach",
    "reached",
    "share of sgemm: median (range)",
)


def record(row: Row, labels: Mapping[str, str], timings: Mapping[str, Sequence[Timing]], others: float = 0.0) -> Record:
    """A row with everything that was measured.

    Args:
        labels: what each arm did, by its name.
        timings: timings of each arm, in the order in which they were taken.
        others: share of the cores that other processes took meanwhile, 0 to 1.

    Returns:
        Plain values. `ratios` are rates of the suite over the other arm, pair by pair; for an upper bound its times
        over the other's. `reached` is null if there is no limit. `shares`: the suite's matrix products over this
        machine's, in GFLOP/s, pair by pair; empty if they were not counted.
    """
    suite, other = timings[row.suite], timings[row.other]
    ratios = rate_ratios(other, suite) if row.bound == AT_MOST else rate_ratios(suite, other)
    found = spread(ratios)
    return {
        "name": row.name,
        "work": row.work,
        "against": row.against,
        "unit": row.unit,
        "suite": _arm(labels[row.suite], suite),
        "other": _arm(labels[row.other], other),
        "ratios": ratios,
        "shares": [one.gflop_rate / most.gflop_rate for one, most in zip(suite, timings.get(LIMIT, ()), strict=False)],
        "median": found.median,
        "low": found.low,
        "high": found.high,
        "bound": row.bound,
        "limit": row.limit,
        "reached": _reached(found.median, row),
        "others": others,
    }


def _arm(label: str, timings: Sequence[Timing]) -> Record:
    return {
        "label": label,
        "seconds": [timing.seconds for timing in timings],
        "amounts": [timing.amount for timing in timings],
        "rates": [timing.rate for timing in timings],
        "note": timings[-1].note,
    }


def _reached(median: float, row: Row) -> bool | None:
    if row.limit is None:
        return None
    return median <= row.limit if row.bound == AT_MOST else median >= row.limit


def cells(record: Record) -> tuple[str, ...]:
    """A record as the texts of one line of the table, in the order of `HEAD`."""
    limit, reached = record["limit"], record["reached"]
    return (
        record["name"],
        record["work"],
        record["against"],
        _rate(record["suite"], record["unit"]),
        _rate(record["other"], record["unit"]),
        ratio_in_words(record),
        "-" if limit is None else f"{record['bound']} {_times(limit)}",
        {None: "-", True: "yes", False: "NO"}[reached],
        _share_in_words(record["shares"]),
    )


def ratio_in_words(record: Record) -> str:
    """Median, range and number of the ratios: `8.1x (7.7x to 8.4x, n = 5)`."""
    return f"{_spread_in_words(record)[:-1]}, n = {len(record['ratios'])})"


def _spread_in_words(found: Record) -> str:
    return f"{_times(found['median'])} ({_times(found['low'])} to {_times(found['high'])})"


def _share_in_words(shares: Sequence[float]) -> str:
    if not shares:
        return "-"
    found = spread(shares)
    return f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})"


def _rate(arm: Record, unit: str) -> str:
    return f"{spread(arm['rates']).median:.3g} {unit}"


def _times(ratio: float) -> str:
    return f"{ratio:.3g}x"


def markdown(result: Record) -> str:
    """The whole result as a page: the machine, the table, what each side did, what was skipped."""
    machine = result["machine"]
    lines = [
        "# Benchmark",
        "",
        in_words(machine),
        "",
        f"Measured in one run of {result['total_s'] / 60:.1f} minutes{' (--quick: small budgets)' * result['quick']}; "
        "both sides of a row were run in turn. A ratio is the suite's rate over the other's; where it is to be at most "
        "something, the suite's time over the other's. The share of sgemm is what the suite's matrix products reach of "
        "this machine's rate, all cores together, which was measured in turn with them.",
        "",
        _line(HEAD),
        _line(["---"] * len(HEAD)),
        *(_line(cells(record)) for record in result["rows"]),
        "",
        "What was run:",
        "",
    ]
    for record in result["rows"]:
        for side in ("suite", "other"):
            note = f" ({record[side]['note']})" if record[side]["note"] else ""
            lines.append(f"- {record['name']}, {side}: {record[side]['label']}{note}")
        lines.append(f"- {record['name']}: other processes took {record['others']:.0%} of the cores meanwhile")
    for how in ("skipped", "failed"):
        lines += [f"- {one['name']}: {how}, {one['reason']}" for one in result[how]]
    if result["stated"]:
        lines += ["", "Beside the ranges that docs/benchmarks.md states:", ""]
        lines += [f"- {one['name']}: {one['verdict']}, {_spread_in_words(one)}" for one in result["stated"]]
    return "\n".join(lines) + "\n"


def in_words(machine: Mapping[str, Any]) -> str:
    """The machine in a sentence."""
    code = f"{machine['commit'][:12]}{' with changes' * machine['dirty']}"
    return (
        f"{machine['cpu']}, {machine['cores']} cores; GPU: {machine['gpu'] or 'none'}; "
        f"torch {machine['torch_version']}, Python {machine['python']}, {machine['system']}; code {code}."
    )


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"
