"""The memory of which trials are complete on the W&B server: one file each, so that many writers can share it.

    <dir>/wandb/uploaded/<trial_id>           a trial that ended, well or diverged; holds the address of its run
    <dir>/wandb/uploaded/<trial_id>.failed    a trial that raised; its rerun is another thing to upload

Neither torch nor wandb is needed to read or write it.
"""

from __future__ import annotations

from pathlib import Path

FAILED_SUFFIX = ".failed"


class Uploads:
    """What the server has of the trials of a results folder.

    Args:
        results_dir: the results folder.
    """

    def __init__(self, results_dir: str | Path) -> None:
        self.directory = Path(results_dir).expanduser().absolute() / "wandb" / "uploaded"

    def add(self, trial_id: str, *, is_failed: bool = False, url: str = "") -> None:
        """Remember that the server has everything of a trial. Remembering it again changes nothing.

        Args:
            trial_id: of the trial.
            is_failed: what the server has is a failure: the trial raised.
            url: address of its run, for `load_results`.

        Raises:
            OSError: the folder cannot be written. The trial counts as missing, and is completed by the next upload.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / (trial_id + FAILED_SUFFIX if is_failed else trial_id)
        if url:
            path.write_text(url, encoding="utf-8")
        else:
            path.touch()

    def ids(self, *, is_failed: bool = False) -> set[str]:
        """Trials that the server has; those it has as failures with `is_failed`."""
        if not self.directory.is_dir():
            return set()
        names = {path.name for path in self.directory.iterdir()}
        failed = {name for name in names if name.endswith(FAILED_SUFFIX)}
        return {name.removesuffix(FAILED_SUFFIX) for name in failed} if is_failed else names - failed
