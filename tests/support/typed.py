"""A command as a person types it, in a folder that is not the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def typed(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE ARGUMENTS` in a folder, with no W&B account."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "HYDRA_"))}
    environment |= {"HOME": str(folder / "home"), "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    (folder / "home").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
