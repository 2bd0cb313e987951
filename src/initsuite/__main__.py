"""One command for every door: `initsuite`, or `python -m initsuite`. Without arguments, it lists the commands."""

from __future__ import annotations

import contextlib
import os
import sys

from initsuite.errors import end_without_threads, unknown_choice
from initsuite.provenance import package_version

COMMANDS = {
    "train": "train one cell, or with -m every combination of a sweep",
    "report": "which initializer to use, and how sure that is, from the stored trials",
    "results": "look into results stores, put several into one, tidy one up, check a contributed one",
    "recommend": "which initializer to use for one network, without training",
    "diagnose": "what a network is like before its first step, in words",
    "prescribe": "which initializer to start a network with, by measuring each at step 0",
    "claims": "the claims of the literature, tested again",
    "sync": "upload stored trials to Weights & Biases",
    "dashboard": "save W&B dashboards of the stored trials",
}
_PAGE = """\
initsuite: which weight initializer for this model, activation and data set, and how sure are we?

usage: initsuite COMMAND ...

commands:
{commands}

examples:
  initsuite train -m init=zero,normal,xavier,he,orthogonal
  initsuite report --open

Help for a command: initsuite COMMAND --help. Version: initsuite --version.
"""


def main() -> int | None:
    """Open the door that the first argument names; returns its exit code."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(_PAGE.format(commands="\n".join(f"  {key:<11}{line}" for key, line in COMMANDS.items())), end="")
    elif name == "--version":
        print(f"initsuite {package_version()}")
    elif name in COMMANDS:
        command = "python -m initsuite" if sys.argv[0].endswith("__main__.py") else "initsuite"
        sys.argv = [f"{command} {name}", *arguments]
        with contextlib.suppress(FileNotFoundError):  # a folder that has been deleted
            sys.path.append(os.getcwd())  # where `python -m`, too, looks for a user's own classes
        code = _open(name)
        if name in ("sync", "dashboard"):
            end_without_threads(code or 0)
        return code
    else:
        print(unknown_choice("initsuite", "command", name, COMMANDS), file=sys.stderr)
        return 2


def _open(name: str) -> int | None:
    """Import only the door that is needed: showing the page must not import torch."""
    match name:
        case "train":
            from initsuite.train.__main__ import main as door
        case "report":
            from initsuite.report.__main__ import main as door
        case "results" if sys.argv[1:2] == ["check"]:
            from initsuite.literature.contribution.check import main as door

            sys.argv = [f"{sys.argv[0]} check", *sys.argv[2:]]
        case "results":
            from initsuite.results.__main__ import main as door
        case "recommend":
            from initsuite.report.ask import main as door
        case "diagnose":
            from initsuite.apply.examine import main as door
        case "prescribe":
            from initsuite.apply.advise import main as door
        case "claims":
            from initsuite.literature.__main__ import main as door
        case "sync":
            from initsuite.sync import main as door
        case _:
            from initsuite.dashboard import main as door
    return door()


if __name__ == "__main__":
    sys.exit(main())
