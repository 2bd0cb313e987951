"""The door: python -m initsuite.report."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from initsuite.errors import ConfigError, bad_value, door_parser, run_door
from initsuite.files import own_folder
from initsuite.wording import format_count

if TYPE_CHECKING:
    from rich.console import Console

_DESCRIPTION = """\
Which weight initializer to use, and how sure that is, from the stored trials alone.

Prints a table and a few sentences for each context (data set, model, activation,
optimizer) and writes them, with tables, figures and their data, beside one HTML page
that needs neither network nor server. With two stores it shows them side by side.
"""
_EPILOG = """\
examples:
  python -m initsuite.report                      the store in ./results
  python -m initsuite.report --open               and the page, in the browser
  python -m initsuite.report my_results           another store
  python -m initsuite.report wandb:team/project   the runs of a W&B project
  python -m initsuite.report laptop cluster       two stores side by side
  python -m initsuite.report --out elsewhere      the files somewhere else

Read recommendations.html first. Nothing is trained.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print and write the report; returns the exit code, as `run_door` does."""
    return run_door(_parser(), _report, arguments)


def _report(options: argparse.Namespace) -> None:
    # imported late, as what reads and draws is below: Ctrl-C in these two seconds finds a door that knows it
    from initsuite.report.text.fitting import PipedConsole

    console = PipedConsole()
    paths = _two_stores(options, console) if len(options.stores) > 1 else _one_store(options, console)
    console.print("\nWritten:", style="bold")
    for line in _written(paths):
        console.print(f"  {line}", soft_wrap=True, markup=False, highlight=False)
    if options.open and not webbrowser.open(paths[0].absolute().as_uri()):
        print(f"report: no browser found to open {paths[0]}. Open it by hand.", file=sys.stderr)


def _one_store(options: argparse.Namespace, console: Console) -> list[Path]:
    """Written before it is printed: whoever reads the output may stop at any line."""
    source = options.stores[0] if options.stores else "results"
    with console.status(f"Reading {source}, drawing and writing ..."):
        from initsuite.report.files import write_report
        from initsuite.report.text.terminal import print_report
        from initsuite.report.verdicts.recommendations import build_report
        from initsuite.report.verdicts.views import Views
        from initsuite.results.sources import load_results

        views = Views(build_report(load_results(source)))
        paths = write_report(views, _directory(options, source))
    print_report(views, console)
    return paths


def _two_stores(options: argparse.Namespace, console: Console) -> list[Path]:
    if len(options.stores) > 2 or options.stores[0] == options.stores[1]:
        raise ConfigError(
            f"report: bad stores {', '.join(map(repr, options.stores))}. Expected one, or two different ones. Merge "
            "more than two first: python -m initsuite.results merge TARGET SOURCE ..."
        )
    from initsuite.report.files import write_side_by_side
    from initsuite.report.pair.display import print_side_by_side
    from initsuite.report.pair.side_by_side import side_by_side
    from initsuite.report.verdicts.recommendations import build_report
    from initsuite.results.sources import load_results

    first, second = options.stores
    pair = side_by_side(build_report(load_results(first)), build_report(load_results(second)), (first, second))
    paths = write_side_by_side(pair, _directory(options, first))
    print_side_by_side(pair, console)
    return paths


def _written(paths: Sequence[Path]) -> Iterator[str]:
    """The file to read first, and how many others are in each folder."""
    first, *others = paths
    yield f"{first}, to be read first"
    for folder, number in Counter(path.parent for path in others).items():
        yield f"{folder}: {format_count(number, 'more file' if folder == first.parent else 'file')}"


def _directory(options: argparse.Namespace, source: str) -> Path:
    """Where the files go: into the store, or into the working directory where the store is no folder."""
    if options.out is not None:
        if not options.out.strip():
            raise bad_value("report", "out", options.out, "the name of a folder", "Leave out --out for STORE/report.")
        return Path(options.out)
    if not Path(source).is_dir():
        return Path("report")
    return own_folder(Path(source) / "report", Path(source))


def _parser() -> argparse.ArgumentParser:
    parser = door_parser("python -m initsuite.report", _DESCRIPTION, _EPILOG)
    parser.add_argument(
        "stores",
        nargs="*",
        metavar="STORE",
        help="a results store, wandb:ENTITY/PROJECT or a folder of offline W&B runs (default: results); or two of them",
    )
    parser.add_argument("--out", metavar="DIR", help="where to write the files (default: STORE/report)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    return parser


if __name__ == "__main__":
    sys.exit(main())
