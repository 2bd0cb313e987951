"""The door: python -m initsuite.report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from initsuite.errors import InitsuiteError
from initsuite.report.files import write_report
from initsuite.report.recommendations import build_report
from initsuite.report.terminal import print_report
from initsuite.store import load_results

_DESCRIPTION = """\
Which weight initializer to use, and how sure that is, from the stored trials alone.

Prints a table and a few sentences for each context (data set, model, activation,
optimizer) and writes them, with the learning curves and the steps to the target,
as one HTML page, Markdown, CSV, PNG and PDF.
"""
_EPILOG = """\
examples:
  python -m initsuite.report                      the store in ./results
  python -m initsuite.report my_results           another store
  python -m initsuite.report --out elsewhere      the files somewhere else

Read recommendations.html first. Nothing is trained.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print and write the report.

    Args:
        arguments: of the command line.

    Returns:
        The exit code: 0, or 2 after an error that the user can mend.
    """
    options = _parser().parse_args(arguments)
    results_dir = Path(options.results_dir)
    directory = Path(options.out) if options.out else results_dir / "report"
    try:
        report = build_report(load_results(results_dir))
        console = Console()
        print_report(report, console)
        paths = write_report(report, directory)
    except InitsuiteError as error:
        print(error, file=sys.stderr)
        return 2
    console.print("\nWritten:", style="bold")
    for path in paths:
        console.print(Text(f"  {path}"), soft_wrap=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m initsuite.report",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results_dir", nargs="?", default="results", help="the results store (default: results)")
    parser.add_argument("--out", metavar="DIR", help="where to write the files (default: RESULTS_DIR/report)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
