"""What a command line says before Hydra reads it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hydra.errors import HydraException
from yaml import YAMLError

from initsuite.config.command import check_command
from initsuite.config.groups import conf_dir
from initsuite.config.sweep import build_jobs, compose_sweep
from initsuite.errors import ConfigError, InitsuiteError
from initsuite.train.__main__ import explain


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["init=he", "init=xavier"],
            r"`init`='he and xavier'. Expected one value for a key. To compare them: -m init=he,",
        ),
        (["-m", "seeds=1", "init=he", "++seeds=2"], r"`seeds`='1 and 2'"),
        (["model.depth=2", "model.depth=3,4"], r"`model.depth`='2 and 3,4'"),
        (["init=[he,xavier]"], r"`init`=\['he', 'xavier'\]. Expected one choice. To compare them: -m init=he,xavier"),
        (["dry_run=2"], "`dry_run`=2. Expected true or false"),
        (["replan=0"], "`replan`=0. Expected true or false"),
        (["results_dir="], "`results_dir`=''. Expected the name of a folder"),
        (["data_dir=' '"], "`data_dir`=''. Expected the name of a folder. Leave out data_dir"),
        (["results_dir=true"], "`results_dir`=True. Expected a text. In quotes it is one: 'results_dir=\"true\"'"),
        (["experiment_name=1e3"], "`experiment_name`=1000.0. Expected a text"),
        (["protocol=quick", "protocol.name=standard"], "`protocol.name`='standard'. Expected .* is chosen: quick. To"),
        (["-m", "init=he,custom", "init.name=mine"], "`init.name`='mine'. .* he or custom. .* one with a name of your"),
        (["-m", "init=glob(x*)", "init.name=xavier"], r"Expected the name of what is chosen: glob\(x\*\)"),
        (["init.name=xavier"], "`init.name`='xavier'. Expected the name of what is chosen: the one of its file"),
        (["++model={name: cnn}"], "`model.name`='cnn'"),
        (["activation=relu", "activation.name=relu,tanh"], "`activation.name`='tanh'"),
    ],
)
def test_what_would_be_taken_in_silence_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_command(words)


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "init=he,xavier", "dry_run=true", "results_dir=a", "data_dir=null"],
        ["seeds=2", "seeds=2", "~model.depth", "+model.depth=3", "--config-dir", "nowhere", "--cfg", "job"],
        ["init=[1", "init=he", "init=zero"],  # which Hydra refuses in its own words
        ["hydra.searchpath=[pkg://nope,/nope]"],
        ["-m", "init=custom", "init.name='a b',c", "model=torchvision", "model.name=vgg11", "protocol.tuning_seeds=1"],
        ["optimizer=adam", "optimizer.name=adam"],
        ["results_dir=12", "experiment_name='true'", "data_dir=null"],
        ["-m", "init=glob(*er*)", "model=mlp,cnn"],
    ],
)
def test_all_else_is_for_hydra(words: list[str]) -> None:
    check_command(words)


@pytest.mark.parametrize(
    "way", ["hydra.searchpath=[{}]", "hydra.searchpath=[file://{}]", "--config-dir={}", "--config-dir {}"]
)
def test_a_file_that_the_suite_hides_is_named(tmp_path: Path, way: str) -> None:
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "mine.yaml").write_text("name: mine")
    words = ["init=he", *way.format(tmp_path).split(" ")]
    shutil.copy(conf_dir() / "init" / "he.yaml", tmp_path / "init")
    check_command(words)  # the same file: nothing is lost
    (tmp_path / "init" / "he.yaml").write_text("name: he")
    with pytest.raises(
        ConfigError, match=r"he.yaml'. Expected a name that the suite does not have: init=he is its own"
    ):
        check_command(words)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: mine\n\t_target_: x", "found character '\\t'"),
        (b"name: mine\nname: other", "found duplicate key name"),
        (b"", "name`=None. Expected a name"),
        (b"_target_: initsuite.init.he", "name`=None. Expected a name"),
        (b"name: \xff\xfe", "can't decode byte"),
        (b"- name: mine", "list"),
        (b"mine", "name`=None. Expected a name"),
        (b"name: he\n_target_: initsuite.init.zero.Zero", "this is the name of initsuite.init"),
    ],
)
def test_a_bad_file_of_a_users_own_is_refused_in_a_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "mine.yaml").write_bytes(content)
    with pytest.raises((InitsuiteError, HydraException, YAMLError, UnicodeDecodeError, OSError)) as caught:
        build_jobs(compose_sweep([f"hydra.searchpath=[{tmp_path}]", "init=mine"]))
    said = explain(caught.value)
    assert said is not None, repr(caught.value)
    assert message in said
    assert "\n" not in said
