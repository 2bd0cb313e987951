"""What a stack reserves on a machine of a Ray cluster, and how many stacks machines have room for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from initsuite.config.cluster import Ray
from initsuite.wording import format_count, format_first, format_names

RESOURCES = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
"""By what a task of Ray reserves, what its machines call it. Memory is in bytes."""
MOST_KINDS = 4
"""Kinds of machines that a line names."""


def reserved(cluster: Ray, *, is_on_gpu: bool) -> dict[str, float]:
    """What a stack asks for, without what it asks nothing of: cores, GPUs and bytes of memory."""
    memory = (cluster.memory_gb or 0) * 2**30
    asked = {"num_cpus": cluster.cpus, "num_gpus": int(is_on_gpu), "memory": memory}
    return {name: value for name, value in asked.items() if value}


def num_fitting(asked: Mapping[str, float], machines: Sequence[Mapping[str, float]]) -> int:
    """How many stacks the machines have room for.

    Args:
        asked: of a stack, as `reserved` gives it.
        machines: the resources of each.

    Example:
        >>> num_fitting({"num_cpus": 2}, [{"CPU": 5.0}, {"CPU": 1.0}])
        2
    """
    return sum(
        int(min(machine.get(RESOURCES[name], 0) // value for name, value in asked.items())) for machine in machines
    )


def shortage(asked: Mapping[str, float], machines: Sequence[Mapping[str, float]]) -> str:
    """What people are told where no machine has room for a stack."""
    there = [_amounts({name: machine.get(RESOURCES[name], 0) for name in asked}) for machine in machines]
    kinds = [f"{count} with {amounts}" for amounts, count in Counter(there).items()]
    return (
        f"Waiting: no machine of the Ray cluster has room for a stack, which asks for {_amounts(asked)}. Machines: "
        f"{format_first(kinds, MOST_KINDS) or 'none'}. Add one that has, or stop this command and ask for less: "
        "cluster.cpus, cluster.memory_gb, device=cpu."
    )


def _amounts(resources: Mapping[str, float]) -> str:
    """`4 cores, 1 GPU and 8 GB of memory`."""
    words = []
    for name, value in resources.items():
        gigabytes = f"{value / 2**30:.3g} GB of memory"
        words.append(
            gigabytes if name == "memory" else format_count(int(value), "GPU" if name == "num_gpus" else "core")
        )
    return format_names(words)
