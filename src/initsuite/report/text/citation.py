"""What to cite beside a number of the report: which code, which protocol, which trials."""

from __future__ import annotations

import pandas as pd

from initsuite.provenance import package_version
from initsuite.report.evidence.notes import commits_of
from initsuite.results.store import store_hash
from initsuite.spec import Stage

AUTHORS = "The initsuite developers"
TITLE = "initsuite: which weight initializer, and how sure are we?"
"""As in CITATION.cff."""


def citation_block(trials: pd.DataFrame) -> list[tuple[str, str]]:
    """Names and values that identify the trials of a store.

    Args:
        trials: all trials of the store, as `load_results` reads them.
    """
    return [
        ("initsuite", package_version()),
        ("protocol version", listed(trials.protocol_version)),
        ("store hash", store_hash(trials)),
        ("commit", ", ".join(commits_of(trials)) or "unknown"),
        ("torch", listed(trials.torch_version)),
        ("device", listed(trials.device)),
        ("trials", f"{len(trials)}, {int((trials.stage == Stage.SCORE).sum())} of them for scoring"),
        ("written", _days(trials.written_at)),
    ]


def bibtex() -> str:
    """The BibTeX entry of the installed version.

    Example:
        >>> print(bibtex().splitlines()[0])
        @software{initsuite,
    """
    fields = {"author": f"{{{AUTHORS}}}", "title": f"{{{TITLE}}}", "version": package_version()}
    return "\n".join(["@software{initsuite,", *(f"  {name} = {{{value}}}," for name, value in fields.items()), "}"])


def listed(column: pd.Series) -> str:
    """The distinct values of a column, in order; `unknown` where there are none."""
    return ", ".join(sorted({str(value) for value in column.dropna() if value != ""})) or "unknown"


def _days(written_at: pd.Series) -> str:
    days = sorted({str(moment)[:10] for moment in written_at.dropna()})
    return " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "never"
