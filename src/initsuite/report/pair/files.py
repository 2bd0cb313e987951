"""Two stores side by side as files: Markdown for people, CSV for programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from initsuite.errors import StoreError
from initsuite.report.pair.display import caption_of_pair, contexts_for_people, summary_of_pair
from initsuite.report.pair.side_by_side import SideBySide
from initsuite.report.text.documents import markdown_table, plain


def write_side_by_side(pair: SideBySide, directory: Path) -> list[Path]:
    """Write side_by_side.md, side_by_side.csv (one row an initializer) and side_by_side_contexts.csv.

    Returns:
        The written paths.

    Raises:
        StoreError: the folder cannot be made or written.
    """
    writers: dict[str, Callable[[Path], object]] = {
        "side_by_side.md": lambda path: path.write_text(markdown_of_pair(pair), encoding="utf-8"),
        "side_by_side.csv": lambda path: pair.arms.to_csv(path, index=False),
        "side_by_side_contexts.csv": lambda path: pair.contexts.to_csv(path, index=False),
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, write in writers.items():
            write(directory / name)
    except OSError as error:
        raise StoreError(
            f"report: cannot write to `out`={str(directory)!r}: {error.strerror or error}. "
            "Expected a folder that can be made and written. Choose another with --out DIR."
        ) from error
    return [directory / name for name in writers]


def markdown_of_pair(pair: SideBySide) -> str:
    """Sentences, the arms of each shared context, and the notes."""
    names = " and ".join(plain(name) for name in pair.names)
    parts = [f"# {names} side by side", plain(summary_of_pair(pair))]
    for row, arms in contexts_for_people(pair):
        parts.append(f"## {plain(row['context'])} · {row['lr_rule']}")
        parts += [f"Do they agree? **{row['agrees']}**. {plain(row['in_words'])}", markdown_table(arms)]
    if len(pair.contexts):
        parts.append(plain(caption_of_pair(pair)))
    if pair.notes:
        parts += ["## Left out, and warnings", "\n".join(f"- {plain(note)}" for note in pair.notes)]
    return "\n\n".join(parts) + "\n"
