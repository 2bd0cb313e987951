"""The built wheel does the main job from an empty folder, with its own copy of the configuration."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import initsuite

REPOSITORY = Path(__file__).parents[2]
VERSION = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy of what a checkout holds, so that the repository stays clean."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    for name in ("src", "conf"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """A folder in which pip has installed it, with its command."""
    folder = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    return folder


def installed(site: Path, work: Path, *arguments: str) -> str:
    """Run a command in `work` with the installed copy."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "HYDRA_"))}
    environment |= {"PYTHONPATH": str(site), "HOME": str(work / "home")}
    done = subprocess.run(arguments, cwd=work, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_holds_the_configuration_the_launcher_and_the_records(wheel) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = [f"initsuite/conf/{p.relative_to(REPOSITORY / 'conf')}" for p in (REPOSITORY / "conf").rglob("*.yaml")]
    package = REPOSITORY / "src"
    ours += [str(p.relative_to(package)) for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert names >= set(ours)
    assert {"initsuite/data/targets/digits.json", "initsuite/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests", "scripts"))]


def test_it_installs_the_command(site, tmp_path) -> None:
    assert installed(site, tmp_path, str(site / "bin" / "initsuite"), "--version") == f"initsuite {VERSION}\n"


@pytest.mark.slow
def test_it_does_the_main_job_from_an_empty_folder(site, tmp_path) -> None:
    code = "import initsuite; from initsuite.config.groups import conf_dir; print(initsuite.__file__, conf_dir())"
    where = installed(site, tmp_path, sys.executable, "-c", code)
    assert where.split() == [str(site / "initsuite" / "__init__.py"), str(site / "initsuite" / "conf")]
    sweep = ["train", "-m", "init=zero,normal,xavier,he,orthogonal", "protocol=smoke"]
    installed(site, tmp_path, str(site / "bin" / "initsuite"), *sweep)
    installed(site, tmp_path, sys.executable, "-m", "initsuite.report", "results")
    score = initsuite.load_results(tmp_path / "results").trials.query("stage == 'score'").set_index("init")
    assert (score.test_score[["xavier", "he", "orthogonal"]] > 0.93).all()
    assert score.test_score["zero"] < 0.13
    assert score.commit.str.startswith("version ").all()
