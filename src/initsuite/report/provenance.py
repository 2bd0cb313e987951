"""Sentences on where the trials come from: other versions, failures, other code."""

from __future__ import annotations

import pandas as pd

from initsuite.provenance import short_commit
from initsuite.spec import Status


def version_notes(trials: pd.DataFrame) -> list[str]:
    """Trials of older protocol versions, which are left out."""
    newest = trials.protocol_version.max()
    older = trials.protocol_version[trials.protocol_version != newest]
    return [
        f"{count} trials of protocol version {version} are left out: their numbers do not compare with those of "
        f"version {newest}."
        for version, count in sorted(older.value_counts().items())
    ]


def failure_notes(trials: pd.DataFrame) -> list[str]:
    """Failed trials, by initializer, with the last line of one traceback."""
    failed = trials[trials.status == Status.FAILED]
    if failed.empty:
        return []
    by_init = ", ".join(f"{name} {count}" for name, count in failed.init.value_counts().items())
    lines = str(failed.error.iloc[-1] or "").strip().splitlines()
    reason = f' The last one ended with "{lines[-1].strip()}".' if lines else ""
    return [f"Failed trials, left out: {by_init}.{reason} The same command, run again, repeats only those."]


def origin_notes(trials: pd.DataFrame) -> list[str]:
    """Trials that may come from different code."""
    notes = []
    commits = commits_of(trials.assign(dirty=False))
    if len(commits) > 1:
        notes.append(f"Trials come from {len(commits)} commits ({', '.join(commits)}): their code may differ.")
    dirty = int(trials.dirty.fillna(False).astype(bool).sum())
    if dirty:
        notes.append(f"{dirty} of {len(trials)} trials come from a working tree with uncommitted changes.")
    return notes


def commits_of(trials: pd.DataFrame) -> list[str]:
    """The code that trials come from, in the order of the rows, short, with a word where it had uncommitted changes.

    Example:
        >>> commits_of(pd.DataFrame({"commit": ["a" * 40, "version 0.1.0"], "dirty": [True, False]}))
        ['aaaaaaaaa (uncommitted changes)', 'version 0.1.0']
    """
    named = trials.loc[trials.commit.fillna("") != ""]
    dirty = set(named.commit[named.dirty.fillna(False).astype(bool)])
    return [
        short_commit(name) + (" (uncommitted changes)" if name in dirty else "")
        for name in map(str, named.commit.unique())
    ]
