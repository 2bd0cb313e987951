"""Tables, figures and one page from the results store alone. Never imports torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initsuite.report.verdicts.recommendations import arms_table, build_report, recommend_table
    from initsuite.report.verdicts.views import Views

__all__ = ["Views", "arms_table", "build_report", "recommend_table"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for: the door imports this package before it can answer Ctrl-C."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "views" if name == "Views" else "recommendations"
    return getattr(import_module(f"initsuite.report.verdicts.{module}"), name)
