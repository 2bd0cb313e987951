"""The kinds of criteria: each is a class that reads evidence and says what it found.

A criterion is a frozen dataclass; `find(evidence)` returns a `Finding`, and `measures` are the columns it reads.
"""

from initsuite.literature.criteria.closed_form import ClosedForm
from initsuite.literature.criteria.no_difference import NoDifference
from initsuite.literature.criteria.rank import Rank
from initsuite.literature.criteria.score import Score
from initsuite.literature.criteria.slope import Slope
from initsuite.literature.criteria.speed import Speed
from initsuite.literature.criteria.starts import Starts
from initsuite.literature.criteria.within import Within

Criterion = ClosedForm | NoDifference | Rank | Score | Slope | Speed | Starts | Within

KINDS: dict[str, type[Criterion]] = {
    "closed_form": ClosedForm,
    "no_difference": NoDifference,
    "rank": Rank,
    "score": Score,
    "slope": Slope,
    "speed": Speed,
    "starts": Starts,
    "within": Within,
}
"""By the name in a claim's file."""

__all__ = [
    "KINDS", "ClosedForm", "Criterion", "NoDifference", "Rank", "Score", "Slope", "Speed", "Starts", "Within"
]  # fmt: skip
