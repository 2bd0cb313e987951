"""Whether two stores recommend the same initializer, as an answer and a sentence."""

from __future__ import annotations

from initsuite.report.verdicts.comparison import Comparison
from initsuite.report.verdicts.rulings import TIED, Verdict

_WORDS = {
    Verdict.WORSE: "is worse",
    Verdict.NOT_TRAINED: "stays near chance",
    **dict.fromkeys(TIED, "is tied with it"),
    Verdict.TOO_FEW_SEEDS: "has not enough seeds to be told from it",
    Verdict.BETTER_WHERE_SHARED: "is better on the shared seeds",
    Verdict.NOT_SCORED: "was not scored",
}


def agreement(first: Comparison, second: Comparison, names: tuple[str, str]) -> tuple[str, str]:
    """Compare what two stores recommend for one context.

    Args:
        first: the context in the first store.
        second: the same context in the second one.
        names: the names of the stores.

    Returns:
        `yes`; `no`, where each store found the other's choice worse; `no contradiction`, where one could not tell it
        from its own; `cannot say`, where one recommends nothing or has not scored the other's choice. Then a sentence.
    """
    ours, theirs = first.leader, second.leader
    if ours is None or theirs is None:
        chosen = [leader.arm.name if leader else "nothing" for leader in (ours, theirs)]
        return "cannot say", f"Recommended: {chosen[0]} in {names[0]}, {chosen[1]} in {names[1]}."
    if ours.arm.cell_id == theirs.arm.cell_id:
        return "yes", f"Both recommend {ours.arm.name}."
    verdicts = (_verdict(first, theirs.arm.cell_id), _verdict(second, ours.arm.cell_id))
    words = [
        f"{name} recommends {own.arm.name}, {other.arm.name} {_WORDS[verdict]}"
        for name, own, other, verdict in zip(names, (ours, theirs), (theirs, ours), verdicts, strict=True)
    ]
    is_settled = all(verdict in (Verdict.WORSE, Verdict.NOT_TRAINED) for verdict in verdicts)
    answer = "cannot say" if Verdict.NOT_SCORED in verdicts else "no" if is_settled else "no contradiction"
    return answer, f"{'; '.join(words)}."


def _verdict(comparison: Comparison, cell_id: str) -> Verdict:
    verdicts = {standing.arm.cell_id: standing.verdict for standing in comparison.standings}
    return verdicts.get(cell_id, Verdict.NOT_SCORED)
