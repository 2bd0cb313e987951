"""Tables, figures and one page from the results store alone. Never imports torch."""

from initsuite.report.verdicts.recommendations import arms_table, build_report, recommend_table
from initsuite.report.verdicts.views import Views

__all__ = ["Views", "arms_table", "build_report", "recommend_table"]
