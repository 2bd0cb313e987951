"""Whole programs in processes of their own, and the suite from its command line."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.timing import Arm, Timing
from initsuite.data.files import locate
from initsuite.data.images import FASHION_MNIST
from initsuite.errors import InitsuiteError

FOREIGN = ("WANDB_", "HYDRA_", "OMP_", "MKL_", "OPENBLAS_")
"""Variables whose names begin so are not passed on: the programs run as on a machine without settings."""
SCRIPTS = Path(__file__).parents[1]
"""Where programs of the benchmark are imported from: they are not installed."""


@dataclass(frozen=True)
class Place:
    """A temporary folder for everything that the programs write, their caches included."""

    root: Path

    def folder(self) -> Path:
        """A new, empty folder."""
        return Path(tempfile.mkdtemp(dir=self.root))

    def environment(self, tree: Path | None = None, cache: Path | None = None) -> dict[str, str]:
        """Variables for a program.

        Args:
            tree: a checkout whose src/ is imported from; None = what is imported here.
            cache: a folder for what programs remember; None = one that all programs share.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        first = [str(tree / "src")] if tree else []
        path = os.pathsep.join([*first, str(SCRIPTS), *filter(None, [kept.get("PYTHONPATH")])])
        cache = cache or self.root / "cache"
        return {**kept, "PYTHONPATH": path, "XDG_CACHE_HOME": str(cache), "WANDB_SILENT": "true"}

    def fashion_mnist(self) -> Path:
        """A folder with FashionMNIST/raw as torchvision keeps it, unpacked."""
        raw = self.root / "FashionMNIST" / "raw"
        if not raw.is_dir():
            raw.mkdir(parents=True)
            for name, path in zip(FASHION_MNIST.files, locate(FASHION_MNIST, None, True), strict=True):
                packed = path.read_bytes()
                (raw / name).write_bytes(gzip.decompress(packed) if path.suffix == ".gz" else packed)
        return self.root


def run_program(module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> float:
    """Run `python -m module arguments` in a folder; wall-clock seconds from start to exit.

    Raises:
        InitsuiteError: it ended with an error; the message has the last lines it wrote.
    """
    command = [sys.executable, "-m", module, *arguments]
    begin = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=dict(environment), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise InitsuiteError(
            f"benchmark: bad exit code `python -m {module}`={done.returncode}. Expected 0. It said:\n{tail}"
        )
    return seconds


def suite_arm(place: Place, label: str, overrides: Sequence[str], num_trials: float) -> Arm:
    """`python -m initsuite.train -m ...` from start to exit, into an empty results folder."""

    def run() -> Timing:
        return Timing(_train_seconds(place.folder(), overrides, place.environment()), num_trials)

    return Arm(label, run)


def first_launch_arm(
    place: Place, label: str, overrides: Sequence[str], num_trials: float, tree: Path | None = None
) -> Arm:
    """As `suite_arm`, but nothing is remembered from an earlier launch, whose machine may have been less busy.

    Args:
        tree: the checkout whose code is run; None = this one.
    """

    def run() -> Timing:
        folder = place.folder()
        return Timing(_train_seconds(folder, overrides, place.environment(tree, folder / "cache")), num_trials)

    return Arm(label, run)


def training_arm(place: Place, label: str, overrides: Sequence[str], num_trials: int) -> Arm:
    """As `suite_arm`, minus the time of the same command once all is stored: the start and end of the program."""

    def run() -> Timing:
        folder, environment = place.folder(), place.environment()
        whole_s, rerun_s = (_train_seconds(folder, overrides, environment) for _ in range(2))
        return Timing(positive_difference(whole_s, rerun_s), num_trials, f"{rerun_s:.1f} s taken off")

    return Arm(label, run)


def _train_seconds(folder: Path, overrides: Sequence[str], environment: Mapping[str, str]) -> float:
    return run_program("initsuite.train", ["-m", *overrides], folder, environment)


def positive_difference(longer_s: float, shorter_s: float) -> float:
    """`longer_s` - `shorter_s`, refused if noise has reversed them.

    Raises:
        InitsuiteError: it is not above 0.

    Example:
        >>> positive_difference(3.0, 2.0)
        1.0
    """
    if longer_s <= shorter_s:
        raise InitsuiteError(
            f"benchmark: bad timing `training`={longer_s - shorter_s:.3g} s, the difference of two programs. Expected "
            "more than 0. The machine is busy with something else: stop that and start again."
        )
    return longer_s - shorter_s


def one_trial_per_job_arm(place: Place, overrides: Sequence[str], num_measured: int, num_trials: int) -> Arm:
    """The suite under Hydra's basic launcher with one trial in each job; `num_trials` extrapolated from a few.

    From the start of the first job, each job counts as the mean time between two starts, read off Hydra's folders.
    """

    def run() -> Timing:
        folder = place.folder()
        arguments = ["-m", "hydra/launcher=basic", "hydra/sweeper=basic", *overrides]
        seconds = run_program("initsuite.train", arguments, folder, place.environment())
        starts = sorted(path.stat().st_mtime for path in folder.glob("results/hydra/*/*/.hydra/config.yaml"))
        job_s = mean_gap(starts)
        return Timing(seconds + (num_trials - len(starts)) * job_s, num_trials, f"{job_s:.2f} s per job")

    label = f"{num_trials:,} trials, one per job on the basic launcher; {num_measured} measured, the rest extrapolated"
    return Arm(label, run)


def mean_gap(starts: Sequence[float]) -> float:
    """Mean distance between neighbours.

    Raises:
        InitsuiteError: fewer than two.

    Example:
        >>> mean_gap([1.0, 2.0, 5.0])
        2.0
    """
    if len(starts) < 2:
        raise InitsuiteError(
            f"benchmark: bad number of jobs `starts`={len(starts)}. Expected 2 or more folders of Hydra jobs below "
            "results/hydra. Has hydra.sweep.dir of conf/config.yaml moved?"
        )
    return (starts[-1] - starts[0]) / (len(starts) - 1)
