"""What was measured at step 0, for people."""

from __future__ import annotations

import pandas as pd

from initsuite.report.text.display import records

STARTS_TITLE = "Step 0"
STARTS_CAPTION = (
    "Measured before the first step of the scoring trials: mean square of the signal in the last hidden layer / in the "
    "first, and squared length of the gradient in the first / in the last (geometric means over the seeds; 1 is ideal, "
    "below 1/403 or above 403 a deep network is hard to train); all else are means."
)
HEADINGS = {
    "q_ratio": "signal, last / first layer", "gradient_ratio": "gradient, first / last layer",
    "input_share": "share that depends on the input", "dead": "dead units, most", "saturated": "saturated, most",
    "loss_ratio": "loss / that of chance", "commonest_class": "commonest class",
}  # fmt: skip
"""Of the numbers in `starts_table`."""


def starts_for_people(table: pd.DataFrame) -> pd.DataFrame:
    """One row per context and initializer, from `starts_table`."""
    rows = [
        {
            "context": row["context"],
            "initializer": row["init"],
            "at step 0": " from ".join(filter(None, (row["verdict"], row["layer"]))),
            "seeds": f"{row['num_agreeing']} of {row['num_seeds']}",
            **{title: _number(row[name]) for name, title in HEADINGS.items()},
        }
        for row in records(table)
    ]
    return pd.DataFrame(rows)


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:z.3g}"
