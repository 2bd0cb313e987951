"""The choices of the group cluster: refused before anything starts, and part of no id."""

from __future__ import annotations

import importlib.util

import pytest

from initsuite.config.cluster import Local, Ray, Slurm, cluster_of
from initsuite.config.groups import shipped_file
from initsuite.errors import ConfigError
from initsuite.train.cluster.array import without_cluster


@pytest.fixture(autouse=True)
def installed(monkeypatch) -> None:
    """Both extras."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in ("ray", "submitit") or find(name))


@pytest.mark.parametrize(("name", "kind"), [("local", Local), ("slurm", Slurm), ("ray", Ray)])
def test_the_files_hold_the_defaults(name, kind) -> None:
    assert cluster_of(shipped_file("cluster", name)) == kind()


@pytest.mark.parametrize(
    ("name", "option", "value", "expected"),
    [
        ("slurm", "tasks", 0, "bad value `tasks`=0. Expected a whole number from 1"),
        ("slurm", "at_once", True, "bad value `at_once`=True"),
        ("slurm", "minutes", None, "bad value `minutes`=None"),
        ("slurm", "warning_s", 5, "bad value `warning_s`=5. Expected a whole number from 10"),
        ("slurm", "wait", "no", "bad value `wait`='no'. Expected true or false"),
        ("slurm", "memory_gb", 0, "bad value `memory_gb`=0. Expected a finite number above 0"),
        ("slurm", "partition", 3, "bad value `partition`=3. Expected a name"),
        ("slurm", "setup", "module load cuda", "For example"),
        ("slurm", "sbatch", ["account"], "For example {account: ml}"),
        ("slurm", "nodes", 4, "unknown `option`='nodes'"),
        ("ray", "cpus", 0.5, "bad value `cpus`=0.5"),
        ("ray", "address", "", "bad value `address`=''. Expected auto, local"),
        ("ray", "address", "ray://head:10001", "Expected auto, local"),
        ("ray", "runtime_env", 3, "For example {working_dir: .}"),
    ],
)
def test_bad_values_are_refused(name, option, value, expected) -> None:
    with pytest.raises(ConfigError) as error:
        cluster_of({**shipped_file("cluster", name), option: value})
    assert expected in str(error.value)


@pytest.mark.parametrize("tree", [None, "slurm", {}, {"name": "pbs"}, {"name": ["slurm"]}])
def test_an_unknown_cluster_is_refused(tree) -> None:
    with pytest.raises(ConfigError, match=r"unknown `cluster`=.* Expected one of: local, slurm, ray"):
        cluster_of(tree)


@pytest.mark.parametrize("name", ["slurm", "ray"])
def test_what_is_not_installed_is_named_with_its_extra(name, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=rf'pip install "initsuite\[{name}\]"'):
        cluster_of(shipped_file("cluster", name))


def test_no_id_depends_on_it(build_job) -> None:
    here, _ = build_job("init=he")
    there, settings = build_job("init=he", "cluster=ray", "cluster.cpus=2")
    assert settings.cluster == Ray(cpus=2)
    assert (there.cell_id, there.context_id, there.cell.config) == (here.cell_id, here.context_id, here.cell.config)
    assert there.cell.overrides == here.cell.overrides


def test_the_command_of_each_machine_has_no_cluster() -> None:
    words = [
        "-m",
        "init=he",
        "cluster=slurm",
        "+cluster.sbatch.account=ml",
        "~cluster.setup",
        "++cluster.tasks=2",
        "clusters=1",
    ]
    assert without_cluster(words) == ["-m", "init=he", "clusters=1"]
