"""What a person types, and what they see when it is wrong. Run in a folder that is not the repository."""

import gzip
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import initsuite
from support.typed import Done, forking, typed

QUICK = ["max_steps=40", "eval_every=20", "protocol=smoke", "optimizer.lr_grid=[0.03,0.1]"]


@pytest.fixture
def command(tmp_path):
    """Run `python -m initsuite.MODULE ARGUMENTS` from an empty folder with no W&B account."""

    return lambda module, *arguments: typed(tmp_path, f"initsuite.{module}", *arguments)


@pytest.fixture(scope="module")
def fork(tmp_path_factory) -> Iterator[Callable[..., Done]]:
    with forking(tmp_path_factory.mktemp("parent")) as run:
        yield run


BAD = {
    "unknown initializer": (["init=foo"], ["`init`='foo'", "he, ", "orthogonal", "zero"]),
    "unknown initializer in a sweep": (["-m", "init=he,foo"], ["`init`='foo'", "xavier"]),
    "a name of the literature": (["init=kaiming"], ["unknown `init`='kaiming'", "Did you mean `he`?"]),
    "a name of Keras": (["init=glorot_normal"], ["Did you mean `xavier`?"]),
    "a name of the literature in a sweep": (["-m", "init=xavier,he_normal"], ["`init`='he_normal'", "mean `he`?"]),
    "an activation by its other name": (["activation=swish"], ["Did you mean `silu`?"]),
    "a data set that is not shipped": (["dataset=imagenet"], ["does not come with this suite", "dataset._target_="]),
    "a rate without its group": (["lr=0.1"], ["unknown `key`='lr'", "Did you mean `optimizer.lr`?"]),
    "a width without its group": (["width=32"], ["Did you mean `model.width`?"]),
    "epochs": (["epochs=3"], ["counted in steps", "`max_steps`"]),
    "a function under another name": (
        ["init._target_=torch.nn.init.eye_"],
        ["init=custom init._target_=torch.nn.init.eye_"],
    ),
    "an option that a function lacks": (
        ["init=custom", "init._target_=torch.nn.init.kaiming_normal_", "+init.fan=1"],
        ["kaiming_normal_: unknown `option`='fan'. Expected one of: a, mode, nonlinearity"],
    ),
    "a plugin that is not installed": (
        ["-m", "init=he", "hydra/launcher=joblib"],
        ['pip install "initsuite[launchers]"'],
    )
    if not find_spec("hydra_plugins.hydra_joblib_launcher")
    else (["init=foo"], ["foo"]),
    "a group that is null": (["tracking=null"], ["config: ", "Got: tracking=null"]),
    "a group that is deleted": (["~schedule"], ["config: `schedule` is left out"]),
    "depth 0": (["model.depth=0"], ["depth", "0"]),
    "depth 0 in a sweep": (["-m", "model.depth=2,0"], ["depth", "0"]),
    "lr 0": (["protocol=fixed", "optimizer.lr=0"], ["`optimizer.lr`=0", "above 0"]),
    "lr below 0": (["protocol=fixed", "optimizer.lr=-0.1"], ["`optimizer.lr`=-0.1", "above 0"]),
    "lr below 0 in the grid": (["optimizer.lr_grid=[0.1,-1]"], ["lr_grid", "above 0"]),
    "lr under a tuning protocol": (["optimizer.lr=0.1"], ["protocol=fixed optimizer.lr=0.1"]),
    "fixed without lr": (["protocol=fixed"], ["optimizer.lr=0.1"]),
    "no seeds": (["seeds=0"], ["`seeds`=0", "from 1"]),
    "no steps": (["max_steps=0"], ["`max_steps`=0", "from 1"]),
    "a word for a number": (["max_steps=many"], ["`max_steps`", "many"]),
    "a key with a typo": (["optimizer.momentun=0.5"], ["optimizer.momentun", "Did you mean `optimizer.momentum`?"]),
    "a top-level key with a typo": (["sed=3"], ["sed", "Did you mean `seeds`?"]),
    "a group with a typo": (["inti=he"], ["inti", "Did you mean `init`?"]),
    "an option the class lacks": (["+init.gian=2"], ["gian", "Did you mean `gain`?"]),
    "a bad option": (["init.gain=-1"], ["gain", "-1"]),
    "a gain that torch does not know": (["init.gain=torch", "activation=gelu"], ["gain", "gelu"]),
    "custom without a class": (["init=custom"], ["init._target_=mypkg.MyClass"]),
    "a class that is not there": (["init=custom", "init._target_=nowhere.Init"], ["nowhere", "importable"]),
    "no such device": (["device=cuda:99"], ["cuda:99", "device=auto"]),
    "not a device": (["device=gpu"], ["'gpu'", "cuda"]),
    "a batch larger than the data": (["batch_size=100000"], ["`batch_size`=100000", "1,197"]),
    "an override without a value": (["init"], ["init"]),
    "a swept results_dir": (["-m", "results_dir=a,b"], ["results_dir", "Start one command for each value"]),
    "an unknown tracking mode": (["tracking.mode=of"], ["mode", "offline"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_gets_one_clear_block(fork, tmp_path, case) -> None:
    arguments, expected = BAD[case]
    done = fork(tmp_path, "initsuite.train", *arguments)
    assert done.returncode == 2, done.stderr
    for words in expected:
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 6
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.slow
def test_a_truncated_data_file_is_named(command, tmp_path) -> None:
    for part, magic, count in (("train", 2051, 60), ("t10k", 2051, 10)):
        header = magic.to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in (count, 28, 28))
        pixels = bytes(784 * count - 1000 * (part == "t10k"))
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + pixels))
        labels = (2049).to_bytes(4, "big") + count.to_bytes(4, "big") + bytes(i % 10 for i in range(count))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    done = command("train", "dataset=fashion_mnist", f"data_dir={tmp_path}", "dataset.own_files=true", "batch_size=8")
    assert done.returncode == 2, done.stderr
    assert "t10k-images-idx3-ubyte" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_a_store_that_cannot_be_written_is_named(command, tmp_path, sweep) -> None:
    (tmp_path / "taken").write_text("a file")
    done = command("train", *sweep, "results_dir=taken/store", *QUICK)
    assert done.returncode == 2, done.stderr
    assert "taken" in done.stderr
    assert "results_dir=DIR" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_one_cell_and_then_its_report(command, tmp_path) -> None:
    done = command("train", *QUICK)
    assert done.returncode == 0, done.stderr
    assert "wandb leet" in done.stdout
    assert "python -m initsuite.sync" in done.stdout
    assert "3 trials" in done.stdout
    assert not done.stderr
    again = command("train", *QUICK)
    assert again.returncode == 0, again.stderr
    assert "already stored" in again.stdout
    report = command("report", "results")
    assert report.returncode == 0, report.stderr
    assert "digits" in report.stdout
    assert (tmp_path / "results" / "report" / "recommendations.csv").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["-m", "hydra/launcher=basic"]])
def test_a_relative_store_stays_where_the_command_was_started(command, tmp_path, more: list[str]) -> None:
    """Also where Hydra changes the folder for each job: a rerun finds what is stored."""
    arguments = [*more, "tracking=disabled", "hydra.job.chdir=true", *QUICK]
    for _ in range(2):
        done = command("train", *arguments)
        assert done.returncode == 0, done.stderr
    assert "already stored" in done.stdout
    assert [path.parent for path in tmp_path.rglob("trials") if path.is_dir()] == [tmp_path / "results"]


@pytest.mark.slow
def test_failed_trials_end_with_a_table_and_exit_code_1(command, tmp_path) -> None:
    law = "class Init:\n    def __call__(self, model, specs, *, seed, probe=None):\n        1 / 0\n"
    (tmp_path / "mine.py").write_text(law)
    done = command("train", "-m", "init=custom,he", "init._target_=mine.Init", *QUICK)
    assert done.returncode == 2  # `he` cannot have another class: the sweep says so before training
    done = command("train", "init=custom", "init._target_=mine.Init", "tracking=disabled", *QUICK)
    assert done.returncode == 1, done.stderr
    assert "trials failed" in done.stdout
    assert "ZeroDivisionError" in done.stdout
    assert "tries the failed ones again" in done.stderr
    assert "Traceback" not in done.stderr
    errors = initsuite.load_results(tmp_path / "results").trials.error
    assert errors.str.contains("1 / 0").all()


@pytest.mark.slow
def test_help_is_worth_reading(command) -> None:
    done = command("train", "--help")
    assert done.returncode == 0
    for words in ("zero", "orthogonal", "protocol: ", "seeds=N", "python -m initsuite.train -m init=", "--cfg job"):
        assert words in done.stdout
    assert all(len(line) <= 120 for line in done.stdout.splitlines())
    assert "claim: " not in done.stdout  # a group that is no choice of a training run


def test_every_experiment_is_a_diff_that_composes(make_job) -> None:
    for path in sorted((Path(__file__).parents[2] / "conf" / "experiment").glob("*.yaml")):
        assert path.read_text().startswith("# @package _global_")
        assert make_job(f"experiment={path.stem}")
