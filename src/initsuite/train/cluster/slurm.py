"""SLURM starts and watches equal launches; the plan, the leases and the store do the rest.

There need be no accounting: states come from `squeue` and `scontrol show job`, and a task that is gone without having
left a result counts as dead. Submitit writes its scripts, logs and results to <results_dir>/slurm.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initsuite.config.cluster import Slurm
from initsuite.errors import ClusterError, bad_value
from initsuite.train.cluster.array import ArrayTask
from initsuite.wording import first_line, format_count, format_names, last_line

POLL_S = 5.0
"""Between two questions to SLURM, seconds."""
PATIENCE_S = 600.0
"""How long SLURM may give no answer, seconds: its controller may be restarted meanwhile."""


@dataclass(frozen=True)
class Task:
    """A task of an array.

    Attributes:
        job_id: as SLURM names it: 12_0.
        result: the file that it leaves when it has ended by itself.
        log: what it printed.
    """

    job_id: str
    result: Path
    log: Path


def submit(cluster: Slurm, results_dir: Path, command: Sequence[str]) -> list[Task]:
    """Queue an array of equal launches of a command.

    Raises:
        ClusterError: there is no SLURM here, or it refuses.
        ConfigError: `cluster.sbatch` has an option that submitit sets itself.
    """
    import submitit

    folder = results_dir / "slurm"
    try:
        executor = submitit.SlurmExecutor(folder, max_num_timeout=cluster.restarts)
    except RuntimeError as error:
        raise ClusterError(
            "cluster=slurm: no command `srun` here. Expected a machine from which jobs can be submitted. "
            "Start this command on a login node of the cluster."
        ) from error
    executor.update_parameters(**_parameters(cluster))
    task = ArrayTask(command, cluster.cpus)
    try:
        jobs = executor.submit_array([task] * cluster.tasks)  # tasks that submitit asks for their checkpoint
    except Exception as error:  # submitit's own errors, which hold what sbatch said
        why = last_line(str(error)).rstrip(".")
        raise ClusterError(
            f"cluster=slurm: sbatch refuses the array: {why}. Expected options that this cluster knows. "
            "See conf/cluster/slurm.yaml; more of them go into cluster.sbatch."
        ) from error
    return [Task(job.job_id, job.paths.result_pickle, job.paths.stdout) for job in jobs]


def _parameters(cluster: Slurm) -> dict[str, Any]:
    known = {
        "job_name": "initsuite",
        "time": cluster.minutes,
        "cpus_per_task": cluster.cpus,
        "signal_delay_s": cluster.warning_s,
        "array_parallelism": cluster.at_once or cluster.tasks,
        "stderr_to_stdout": True,
        "gpus_per_node": cluster.gpus or None,
        "mem": f"{round(cluster.memory_gb * 1024)}M" if cluster.memory_gb else None,
        "partition": cluster.partition,
        "setup": cluster.setup or None,
    }
    further = cluster.sbatch or {}
    if wrong := sorted({"array", "output", "error", "open-mode", "signal"} & further.keys()):
        expected = "options of sbatch that the suite does not set itself"
        raise bad_value("cluster=slurm", f"sbatch.{wrong[0]}", further[wrong[0]], expected)
    return {**{name: value for name, value in known.items() if value is not None}, "additional_parameters": further}


def how_to_look(tasks: Sequence[Task], command: Sequence[str]) -> list[str]:
    """What people are told about an array that goes on without them."""
    array = tasks[0].job_id.partition("_")[0]
    words = shlex.join(["python", *command[1:]])
    return [
        f"Queued {format_count(len(tasks), 'task')} of SLURM: {format_names([task.job_id for task in tasks])}.",
        f"How far they are: {words} dry_run=true",
        f"Where they run: squeue -j {array}; what they print: {tasks[0].log.parent}; to end them: scancel {array}",
    ]


def wait_for(tasks: Sequence[Task], is_complete: Callable[[], bool], say: Callable[[str], None]) -> Mapping[str, str]:
    """Wait until no task is left, or until those that are left have nothing to do; these are cancelled.

    Args:
        is_complete: tells whether everything is stored; asked when no task is left that runs.

    Returns:
        By id, the state of each task that is gone without a result, but for those that were cancelled here.

    Raises:
        ClusterError: SLURM gives no answer.
    """
    array, said, heard_at = tasks[0].job_id.partition("_")[0], "", time.monotonic()
    cancelled: set[str] = set()
    while True:
        states = _states(array)
        if states is None and time.monotonic() - heard_at > PATIENCE_S:
            raise ClusterError(
                f"cluster=slurm: `squeue` gives no answer for {PATIENCE_S:g} s. Expected the states of job {array}. "
                "What its tasks store is not lost: the same command goes on from there."
            )
        if states is not None:
            heard_at = time.monotonic()
            if not states:
                break
            counts = Counter(states.values())
            line = format_names([f"{number} {state.lower()}" for state, number in sorted(counts.items())])
            if line != said:
                said = line
                say(f"Tasks of SLURM: {line}.")
                if counts.keys() <= {"PENDING"} and is_complete():
                    subprocess.run(["scancel", array], check=False, capture_output=True)
                    cancelled |= states.keys()
        time.sleep(POLL_S)
    gone = [task.job_id for task in tasks if not task.result.exists() and task.job_id not in cancelled]
    return {job_id: _last_state(job_id) for job_id in gone}


def last_words(tasks: Sequence[Task]) -> list[str]:
    """The last line that each task printed, without repetition."""
    found = dict.fromkeys(last_line(task.log.read_text(errors="replace")) for task in tasks if task.log.exists())
    return [line for line in found if line]


def _states(array: str) -> dict[str, str] | None:
    """By id, the state of each task that is queued or runs; None if SLURM does not answer."""
    asked = ["squeue", "--noheader", "--array", "--jobs", array, "--format", "%i %T"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return {} if "Invalid job id" in done.stderr else None  # it has forgotten the job, some minutes after its end
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines())


def _last_state(job_id: str) -> str:
    """What became of a task, in SLURM's words; `gone` if it has forgotten that."""
    try:
        done = subprocess.run(["scontrol", "show", "job", job_id], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return first_line(error)
    state = re.search(r"JobState=(\w+)", done.stdout)
    return state[1] if state else "gone"
