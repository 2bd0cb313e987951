"""Tables, figures and one page from the results store alone. Never imports torch."""

from initsuite.report.recommendations import arms_table, recommend_table

__all__ = ["arms_table", "recommend_table"]
