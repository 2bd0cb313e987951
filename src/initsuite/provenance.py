"""Which code made a result: stored with every trial."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
import subprocess
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

COMMIT_DIGITS = 9


@functools.cache
def provenance() -> dict[str, Any]:
    """The columns `commit`, `dirty` and `torch_version`.

    `commit` is the Git commit of the checkout the package runs from, else its version; `dirty` says whether code or
    configuration of the checkout differ from the commit.
    """
    import torch

    folder = Path(__file__).parent
    tracked = _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)
    commit = _git(folder, "rev-parse", "HEAD") if tracked else None
    dirty = bool(_git(folder, "status", "--porcelain", "--", ":/src", ":/conf")) if commit else False
    return {"commit": commit or f"version {package_version()}", "dirty": dirty, "torch_version": str(torch.__version__)}


def package_version() -> str:
    """The version of the installed package; `unknown` for a checkout that is only on the path."""
    try:
        return version("initsuite")
    except PackageNotFoundError:
        return "unknown"


def extra_with(word: str, kind: str) -> str:
    """The extra of this package that brings a plugin of Hydra, by its name and kind; "" if none does.

    Example:
        >>> extra_with("submitit_slurm", "launcher") if package_version() != "unknown" else "launchers"
        'launchers'
    """
    with contextlib.suppress(PackageNotFoundError):
        plugin = f"hydra-{word.partition('_')[0]}-{kind}"
        for requirement in requires("initsuite") or ():
            name, _, marker = requirement.partition(";")
            found = re.search(r"""extra\s*==\s*['"]([\w-]+)""", marker)
            if found and re.fullmatch(rf"{re.escape(plugin)}\b.*", name.strip()) and found[1] != "dev":
                return found[1]
    return ""


def short_commit(commit: str) -> str:
    """A hash shortened to a few digits; `version 0.1.0`, for results without a checkout, as it is.

    Example:
        >>> short_commit("a" * 40), short_commit("version 0.1.0")
        ('aaaaaaaaa', 'version 0.1.0')
    """
    return commit[:COMMIT_DIGITS] if re.fullmatch("[0-9a-f]{40}", commit) else commit


@functools.cache
def code_state() -> str:
    """The commit, with a hash of what differs from it: equal states mean the same code and configuration."""
    known = provenance()
    if not known["dirty"]:
        return known["commit"]
    difference = _git(Path(__file__).parent, "diff", "HEAD", "--", ":/src", ":/conf") or ""
    return f"{known['commit']}+{hashlib.blake2b(difference.encode(), digest_size=8).hexdigest()}"


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
