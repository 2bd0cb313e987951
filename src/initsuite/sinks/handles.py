"""How many W&B runs can be open at once: each holds file handles, and a process may hold only so many."""

from __future__ import annotations

HANDLES_PER_RUN = 3
HANDLES_KEPT_FREE = 256
HANDLES_WANTED = 65_536
"""File handles: an open run holds three, measured with wandb 0.31; beyond the limit whole runs are lost without a
word. The program keeps some for itself, and asks for no more than any system allows."""


def affordable_runs() -> int:
    """How many runs can be open at once, after raising the soft limit on file handles to the hard one."""
    try:
        import resource
    except ImportError:  # Windows has no such limit to raise; its default allows 512 files a process
        return max(1, (512 - HANDLES_KEPT_FREE) // HANDLES_PER_RUN)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = HANDLES_WANTED if hard == unlimited else min(hard, HANDLES_WANTED)
    if soft != unlimited and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (ValueError, OSError):  # macOS refuses more than its own maximum: stay with what there is
            pass
    limit = HANDLES_WANTED if soft == unlimited else soft
    return max(1, (limit - HANDLES_KEPT_FREE) // HANDLES_PER_RUN)
