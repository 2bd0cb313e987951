"""What criteria share."""

from __future__ import annotations


class OfOneMeasure:
    """A criterion that reads one column, `measure`."""

    measure: str

    @property
    def measures(self) -> list[str]:
        """The columns that it reads."""
        return [self.measure]
