"""The catalogue as a table that reads well when it is printed."""

from __future__ import annotations

import shutil
import textwrap

import pandas as pd


class Catalogue(pd.DataFrame):
    """A table whose printed form is the name and the formula of each row; what is cut out of it is a plain one."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        if not {"name", "formula"} <= set(self.columns):
            return super().__repr__()
        indent = max(map(len, self.name), default=0) + 2
        width = max(60, min(120, shutil.get_terminal_size().columns))
        lines = [
            textwrap.fill(f"{name:<{indent}}{formula}", width, subsequent_indent=" " * indent, drop_whitespace=True)
            for name, formula in zip(self["name"], self["formula"], strict=True)
        ]
        columns = ", ".join(map(str, self.columns))
        return "\n".join([*lines, "", textwrap.fill(f"{len(self)} initializers. Columns: {columns}.", width)])

    __str__ = __repr__
