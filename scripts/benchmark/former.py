"""A former version of the suite, for comparisons with it on the machine of today."""

from __future__ import annotations

import functools
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

from benchmark.launches import SCRIPTS, Place
from benchmark.rows import FORMER
from initsuite.errors import InitsuiteError


@functools.cache
def unpacked(place: Place, commit: str = FORMER) -> Path:
    """A folder with the code and the configuration of a commit of this repository.

    Raises:
        InitsuiteError: no such commit here; or programs do not import the code in the folder.
    """
    archive = subprocess.run(["git", "archive", commit, "src", "conf"], cwd=SCRIPTS.parent, capture_output=True)
    if archive.returncode != 0:
        raise InitsuiteError(
            f"benchmark: cannot read `commit`={commit!r} ({archive.stderr.decode().strip()}). Expected a checkout with "
            "its history. Fetch it: git fetch --unshallow"
        )
    folder = place.folder()
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as packed:
        packed.extractall(folder, filter="data")
    code = "import initsuite, hydra_plugins.initsuite_launcher as plugin; print(initsuite.__file__, plugin.__file__)"
    environment = place.environment(folder)
    found = subprocess.run([sys.executable, "-c", code], env=environment, cwd=folder, capture_output=True, text=True)
    paths = found.stdout.split()
    if found.returncode != 0 or not all(Path(path).is_relative_to(folder) for path in paths):
        raise InitsuiteError(
            f"benchmark: other code is imported `path`={' '.join(paths) or found.stderr}. Expected {folder} first. Is "
            "there a sitecustomize, or an import hook of an editable installation?"
        )
    return folder
