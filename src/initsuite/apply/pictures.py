"""Results of this room as pictures and files. What draws is imported late: it takes half a second."""

from __future__ import annotations

import base64
import io
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

import pandas as pd

from initsuite.errors import StoreError
from initsuite.signal.diagnosis import Diagnosis

RESOLUTION = 200
"""Dots per inch of a PNG file."""


class Pictured(Diagnosis):
    """A diagnosis that can be drawn and written into a folder."""

    @classmethod
    def of(cls, found: Diagnosis) -> Self:
        """The same diagnosis."""
        return cls(**{each.name: getattr(found, each.name) for each in fields(found)})

    def plot(self) -> Any:
        """A matplotlib figure over the depth: signal, gradient, similarity of inputs and dead units, draws as points,
        theory as a line; the distribution in each layer; the singular values of the Jacobian if they were asked for."""
        from initsuite.report.figures.depths import over_depth

        return over_depth(self)

    def save(self, folder: str | Path) -> list[Path]:
        """Write diagnosis.png, diagnosis.json (all tables) and each table with rows as CSV; returns the paths.

        Raises:
            StoreError: the folder cannot be made or written.
        """
        folder = Path(folder)
        picture, text = folder / "diagnosis.png", folder / "diagnosis.json"
        tables = {each.name: getattr(self, each.name) for each in fields(self)}
        tables = {name: table for name, table in tables.items() if isinstance(table, pd.DataFrame) and len(table)}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.plot().savefig(picture, dpi=RESOLUTION)
            text.write_text(self.to_json(), encoding="utf-8")
            for name, table in tables.items():
                table.to_csv(folder / f"{name}.csv", index=False)
        except OSError as error:
            raise StoreError(
                f"diagnose: cannot write to `out`={str(folder)!r}: {error.strerror or error}. Expected a folder that "
                "can be made and written. Choose another."
            ) from error
        return [picture, text, *(folder / f"{name}.csv" for name in tables)]

    def _repr_html_(self) -> str:
        return self.html(embedded(self.plot(), "signal and gradient over the depth of the network"))


def embedded(figure: Any, alt: str) -> str:
    """A matplotlib figure as an HTML image that holds its own data."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{alt}" style="max-width: 100%" src="data:image/png;base64,{data}">'
