"""The door: python scripts/benchmark."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of this package: it is not installed

from benchmark.rows import FULL, LIMIT, QUICK, ROWS, Row, Sizes
from benchmark.stated import judged, stated
from initsuite.errors import InitsuiteError, bad_value, unknown_choice

_DESCRIPTION = """\
How many trials per second the suite trains, against trials in turn, stock Hydra
launchers over a plain PyTorch loop, this machine's matrix multiplication, a
former version, and itself beside busy neighbours.

Both sides of a row are run in turn, several times; the table gives the ratios
with their range, and benchmark.json everything that was measured.
"""
_EPILOG = """\
examples:
  python scripts/benchmark --quick           small budgets, a few minutes
  python scripts/benchmark --only cnn        one row
  python scripts/benchmark --stated          what docs/benchmarks.md says, again
  python scripts/benchmark --output bench    all rows, about an hour

Let the machine do nothing else in the meantime.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write it.

    Args:
        arguments: arguments of the command line.

    Returns:
        The exit code: 0, even if a number was not reached; 1 if a row could not be measured; 2 after an error that the
        user can fix.
    """
    options = _parser().parse_args(arguments)
    try:
        said = stated() if options.stated else {}
        rows = _chosen([*(options.only or []), *said])
        output = Path(options.output)
        output.mkdir(parents=True, exist_ok=True)
        result = run_rows(rows, QUICK if options.quick else FULL, is_quick=options.quick)
        result["stated"] = judged(result["rows"], said)
        from benchmark.results import markdown

        (output / "benchmark.json").write_text(json.dumps(result, indent=2) + "\n")
        (output / "benchmark.md").write_text(markdown(result))
    except InitsuiteError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        fix = "Choose another: --output DIR"
        print(bad_value("benchmark", "output", options.output, f"a folder to write to ({error})", fix), file=sys.stderr)
        return 2
    print(markdown(result))
    print(f"Written: {output / 'benchmark.md'}, {output / 'benchmark.json'}")
    return 1 if result["failed"] else 0


def _chosen(names: Sequence[str]) -> list[Row]:
    """The rows of these names, in the order of the table; all rows if none is named.

    Raises:
        ConfigError: a name that no row has.
    """
    known = [row.name for row in ROWS]
    for name in names:
        if name not in known:
            raise unknown_choice("benchmark", "only", name, known)
    return [row for row in ROWS if not names or row.name in names]


def run_rows(rows: Sequence[Row], sizes: Sizes, *, is_quick: bool = False) -> dict[str, Any]:
    """Measure rows, block by block; a block that fails does not stop the others.

    Returns:
        Plain values: machine; rows, as `results.record` makes them; skipped and failed, each a name and a reason;
        stated, which is empty; total_s; quick.
    """
    from benchmark.launches import Place  # torch and hydra: seconds that --help does not need
    from benchmark.machine import machine
    from benchmark.results import in_words

    begin, about = time.perf_counter(), machine()
    _say(in_words(about))
    runnable = [row for row in rows if about["gpu"] or not row.block.startswith("gpu-")]
    skipped = [{"name": row.name, "reason": "there is no GPU"} for row in rows if row not in runnable]
    for one in skipped:
        _say(f"{one['name']}: skipped, {one['reason']}")
    records, failed = [], []
    with tempfile.TemporaryDirectory(prefix="initsuite-benchmark-") as root:
        for block in dict.fromkeys(row.block for row in runnable):
            inside = [row for row in runnable if row.block == block]
            try:
                records += _measure(block, inside, sizes, Place(Path(root)))
            except InitsuiteError as error:
                failed += [{"name": row.name, "reason": str(error)} for row in inside]
                _say(f"{block}: failed. {error}")
    total_s = time.perf_counter() - begin
    outcome = {"rows": records, "skipped": skipped, "failed": failed, "stated": []}
    return {"machine": about, **outcome, "total_s": total_s, "quick": is_quick}


def _measure(block: str, rows: Sequence[Row], sizes: Sizes, place: Any) -> list[dict[str, Any]]:
    """The records of the rows of one block."""
    from benchmark.blocks import BLOCKS, num_repeats
    from benchmark.machine import Others
    from benchmark.results import ratio_in_words, record
    from benchmark.timing import interleave

    wanted = {name for row in rows for name in (row.suite, row.other, LIMIT)}
    arms = {name: build() for name, build in BLOCKS[block](sizes, place).items() if name in wanted}
    for name, arm in arms.items():
        _say(f"{block}, {name}: {arm.label}")
    repeats, others = num_repeats(block, sizes), Others()
    timings = interleave(
        arms, repeats, lambda name, repeat, timing: _say(f"  {repeat}/{repeats} {name}: {timing.seconds:.2f} s")
    )
    labels = {name: arm.label for name, arm in arms.items()}
    share = others.share()
    records = [record(row, labels, timings, share) for row in rows]
    for one in records:
        _say(f"  {one['name']}: {ratio_in_words(one)} against {one['against']}; others had {share:.0%} of the cores")
    return records


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python scripts/benchmark",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small budgets: ratios are lower and less sure")
    stated_help = "the rows whose ratios docs/benchmarks.md states, and how they compare with what it states"
    parser.add_argument("--stated", action="store_true", help=stated_help)
    names = ", ".join(row.name for row in ROWS)
    parser.add_argument("--only", metavar="NAME", action="append", help=f"this row; may be repeated: {names}")
    parser.add_argument("--output", metavar="DIR", default="results/benchmark", help="folder for JSON and Markdown")
    return parser


if __name__ == "__main__":
    sys.exit(main())
