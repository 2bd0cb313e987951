"""Whether a launch has seeds enough for its number of initializers, said before it trains."""

from __future__ import annotations

from collections.abc import Sequence

from initsuite.config.build import AnyJob
from initsuite.stats.pairwise import pairs_to_decide, smallest_p
from initsuite.wording import format_count


def too_few_seeds(jobs: Sequence[AnyJob]) -> list[str]:
    """What to say where not even the best possible outcome would be a claim; nothing where one can be.

    The report tests the leader of a context against each other initializer, by sign flips paired by seed (Holm). With n
    seeds the smallest p-value is 2^(1 - n), times the number of others.
    """
    arms: dict[str, set[str]] = {}
    for job in jobs:
        arms.setdefault(job.context_id, set()).add(job.cell_id)
    num_arms = max(map(len, arms.values()), default=0)
    num_seeds = min((job.protocol.scoring_seeds for job in jobs), default=0)
    num_others = num_arms - 1
    if num_others < 1 or num_seeds >= (needed := pairs_to_decide(num_others)):
        return []
    best = min(1.0, num_others * smallest_p(num_seeds))
    return [
        f"Too few seeds to decide anything: with {format_count(num_seeds, 'scoring seed')} and {num_arms} initializers "
        f"in a context, the smallest p is {best:.2g}. With seeds={needed} the leader can be told from each other one."
    ]
