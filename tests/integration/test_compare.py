"""`initsuite.compare` as a person uses it: own net, own data, own law."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import initsuite
from initsuite.errors import ConfigError, InitsuiteError
from initsuite.spec import ParamSpec

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(240, 8, generator=DRAW)
Y = (X @ torch.randn(8, 3, generator=DRAW)).argmax(1)
VALUES = X[:, :1] * X[:, 1:2]
FAST = {"protocol": "smoke", "max_steps": 8, "eval_every": 4, "batch_size": 16}
"""One tuning seed at 7 learning rates and one scoring seed, for each initializer."""


class Net(nn.Module):
    def __init__(self, num_outputs: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Linear(16, num_outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)


def regressor() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))


@dataclass(frozen=True)
class Law:
    gain: float = 1.0

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        return torch.randn(spec.shape, generator=generator) * self.gain / spec.fan_in**0.5


def stored(folder: Path) -> pd.DataFrame:
    return initsuite.load_results(folder).trials


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare") / "results"


@pytest.fixture(scope="module")
def result(folder: Path) -> Any:
    return initsuite.compare(Net, (X, Y), init=["he", "orthogonal", Law(2.0)], results_dir=folder, **FAST)


def test_own_net_data_and_law(result: Any, folder: Path) -> None:
    assert set(result.table.init) == {"he", "orthogonal", "Law(gain=2.0)"}
    assert len(result.trials) == len(stored(folder))
    assert (result.trials[result.trials.stage == "tune"].groupby("init").lr.nunique() >= 7).all()
    assert (result.trials[result.trials.stage == "score"].groupby("init").seed.nunique() == 1).all()
    assert len(result.curves) == 2 * len(result.trials)
    assert result.curves.val_score.dropna().between(0, 1).all()
    assert set(stored(folder).model) == {"Net"}
    assert set(stored(folder).activation) == {"relu"}


def test_printed_it_reads_as_the_recommendation(result: Any) -> None:
    text = str(result)
    words = " ".join(text.split())
    assert "own data / Net / relu / adam" in words
    assert "No targets were given: the area under the validation loss ranks" in words
    assert f"Recommended: {result.recommended or 'none'}" in words
    assert "the same command" not in words
    assert max(map(len, text.splitlines()[:12])) <= 100
    page = result._repr_html_()
    assert "<table" in page
    assert "data:image/png" in page


def test_it_writes_the_report(result: Any, tmp_path: Path) -> None:
    paths = result.report(tmp_path)
    assert (tmp_path / "recommendations.html") in paths
    assert "initsuite.compare are made again by the same call" in (tmp_path / "recommendations.html").read_text()
    assert len(result.plot().axes) == 1
    with pytest.raises(ConfigError, match=r"unknown `kind`='curvs'.*Did you mean `curves`"):
        result.plot("curvs")


def test_the_snippet_starts_a_fresh_model_as_a_trial_did(result: Any) -> None:
    space: dict[str, Any] = {}
    exec(result.snippet("he"), space)
    model, other = Net(), Net()
    space["initialize_"](model, seed=4)
    initsuite.initialize_(other, "he", seed=4, example=X[:2])
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert result.snippet("Law(gain=2.0)")


def test_the_same_call_trains_nothing_twice(result: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored(folder)
    again = initsuite.compare(Net, (X, Y), init=["he", "orthogonal", Law(2.0)], results_dir=folder, **FAST)
    assert "Every trial of this command is already stored" in capsys.readouterr().out
    assert list(stored(folder).trial_id) == list(before.trial_id)
    assert str(again) == str(result)
    loader = DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True)
    same = initsuite.compare(Net, loader, init="he", results_dir=folder, **{**FAST, "batch_size": None})
    assert len(stored(folder)) == len(before)
    assert list(same.table.init) == ["he"]


def test_more_seeds_and_another_law_train_the_difference(folder: Path, result: Any) -> None:
    before = stored(folder)
    found = initsuite.compare(Net, (X, Y), init=["he", Law(3.0)], seeds=2, results_dir=folder, **FAST)
    new = stored(folder)
    new = new[~new.trial_id.isin(before.trial_id)]
    assert list(new.seed[(new.init == "he") & (new.stage == "score")]) == [1]
    assert (found.table.num_seeds == 2).all()


def test_other_data_are_another_context(folder: Path, result: Any) -> None:
    other = initsuite.compare(Net, (X + 0.01, Y), init="he", results_dir=folder, **FAST)
    assert set(other.table.cell_id).isdisjoint(result.table.cell_id)


class Items(Dataset):
    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return X[index], Y[index]


def test_a_dataset_and_parts_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = initsuite.compare(Net, (Items(), (X[:40], Y[:40])), init="he", results_dir=tmp_path, **FAST)
    assert set(stored(tmp_path).dataset) == {"Items"}
    assert "240 / 20 / 20 examples" in capsys.readouterr().out
    assert len(found.table) == 1


def test_values_are_regressed_on(tmp_path: Path) -> None:
    found = initsuite.compare(regressor, (X, VALUES.squeeze(1)), init=["he", "xavier"], results_dir=tmp_path, **FAST)
    trials = stored(tmp_path)
    assert set(trials.metric) == {"mse"}
    assert set(trials.model) == {"regressor"}
    assert found.table.test_score.lt(5).all()


def test_an_instance_is_left_as_it_is(tmp_path: Path) -> None:
    model = Net().train()
    model(X)  # its running statistics are those of a model in use
    before = {name: value.clone() for name, value in model.state_dict().items()}
    frozen = model.layers[3].bias
    frozen.requires_grad_(False)
    initsuite.compare(model, (X, Y), init="he", results_dir=tmp_path, **FAST)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.layers[3].bias is frozen
    assert not [name for name, each in model.named_parameters() if each.is_meta or each.grad is not None]
    again = initsuite.compare(model, (X, Y), init="he", results_dir=tmp_path, **FAST)
    assert len(stored(tmp_path)) == len(again.trials)


def test_a_loss_of_ones_own(tmp_path: Path) -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs().mean()

    found = initsuite.compare(regressor, (X, VALUES), init=["he", "zero"], loss=loss, results_dir=tmp_path, **FAST)
    trials = stored(tmp_path)
    assert set(trials.metric) == {"loss"}
    zero = trials[trials.init == "zero"]
    mean = VALUES.abs().mean().item()
    assert zero.final_val_score.between(0.5 * mean, 2 * mean).all()
    assert "loss" in str(found)


def test_targets_make_speed_count(tmp_path: Path) -> None:
    found = initsuite.compare(
        Net, (X, Y), init="he", targets={"easy": 0.4, "primary": 0.5}, results_dir=tmp_path, **{**FAST, "max_steps": 60}
    )
    assert found.table.success_rate.notna().all()
    assert "0.5" in str(found)


def test_models_and_data_of_the_suite_have_the_ids_of_the_command(tmp_path: Path) -> None:
    initsuite.compare(("mlp", {"depth": 1}), "digits", init=["he", Law()], results_dir=tmp_path, **FAST)
    command = (
        "init=he model.depth=1 optimizer=adam protocol=smoke max_steps=8 eval_every=4 batch_size=16 tracking=disabled"
    )
    built = initsuite.plan(*command.split(), f"results_dir={tmp_path}")
    assert (built.trials == built.done).all()
    assert stored(tmp_path).context_id.nunique() == 1


def test_a_model_of_the_suite_on_ones_own_data(tmp_path: Path) -> None:
    found = initsuite.compare("mlp", (X, Y), init=["he", "xavier"], activation="tanh", results_dir=tmp_path, **FAST)
    assert set(stored(tmp_path).activation) == {"tanh"}
    assert len(found.table) == 2


def test_a_budget_chooses_and_says_what_that_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"max_steps": 8, "eval_every": 4, "batch_size": 16}
    found = initsuite.compare(Net, (X, Y), init=["he", "zero"], budget="5 min", results_dir=tmp_path, **options)
    said = capsys.readouterr().out
    assert "Budget 5 min 00 s: 30 seeds of each of 2 initializers, tuned over 7 learning rates" in said
    assert "differences" in said
    assert len(found.table) == 2
    with pytest.raises(ConfigError, match=r"`budget` of 1 s is too short.*takes about"):
        initsuite.compare(Net, (X, Y), init=["he", "zero"], budget=1, results_dir=tmp_path, max_steps=500_000)


def test_it_stops_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the plan was far off."""
    monkeypatch.setattr("initsuite.apply.comparison.fitted", lambda jobs, settings, seconds, say: jobs)
    begin = time.monotonic()
    found = initsuite.compare(
        Net, (X, Y), init=["he", "zero"], budget=5.0, results_dir=tmp_path, max_steps=200_000, eval_every=20
    )
    assert time.monotonic() - begin < 60  # not the hours that it would take; the plan before it is not interrupted
    assert not found.is_complete
    assert "goes on from there" in str(found)


BAD: dict[str, tuple[tuple[Any, Any], dict[str, Any], str]] = {
    "an unknown initializer": (
        (Net, (X, Y)),
        {"init": ["hee"]},
        "compare: unknown `initializer`='hee'.*Did you mean `he`",
    ),
    "an unknown option": ((Net, (X, Y)), {"init": [("he", {"gian": 2})]}, "unknown `option`='gian'"),
    "an unknown keyword": ((Net, (X, Y)), {"max_step": 3}, "unknown `keyword`='max_step'.*Did you mean `max_steps`"),
    "an unknown optimizer": ((Net, (X, Y)), {"optimizer": "adm"}, "unknown `optimizer`='adm'.*Did you mean `adam`"),
    "shapes that do not fit": ((Net, (X[:, :5], Y)), {}, r"Net does not take your data: inputs float32 \[8, 5\]"),
    "labels out of range": ((Net, (X, Y + 5)), {}, r"5 to 7.*class indices 0 to 2, for the 3 outputs"),
    "values of another shape": ((Net, (X, VALUES)), {}, r"outputs.shape.*\[8, 3\].*\[8, 1\], the shape of the targets"),
    "a class with arguments": ((nn.Linear, (X, Y)), {}, "takes no arguments"),
    "no model": ((3, (X, Y)), {}, "a class or function without arguments"),
    "an unknown model": (("mpl", (X, Y)), {}, "unknown `model`='mpl'.*Did you mean `mlp`"),
    "an unknown data set": ((Net, "digit"), {}, "unknown `data`='digit'.*Did you mean `digits`"),
    "a class in place of a law": ((Net, (X, Y)), {"init": [Law]}, "the class Law, not an instance"),
    "a compiled model": (
        (torch.jit.script(nn.Linear(8, 3)), (X, Y)),
        {},
        "compare: cannot initialize a module of torch.jit",
    ),
    "labels as real numbers": ((Net, (X, Y.float())), {}, r"give whole numbers: targets.long\(\)"),
    "an optimizer of torch": (
        (Net, (X, Y)),
        {"optimizer": torch.optim.Adam},
        "Names: adam, adamw, nesterov, rmsprop, sgd",
    ),
    "a batch that is too large": ((Net, (X, Y)), {"batch_size": 999}, "at most the 160 training examples"),
    "lr under tuning": ((Net, (X, Y)), {"optimizer": ("adam", {"lr": 0.1})}, "protocol=fixed"),
    "a metric without direction": ((Net, (X, Y)), {"metric": lambda outputs, targets: targets.float()}, "direction"),
    "activation of an own model": ((Net, (X, Y)), {"activation": "relu"}, "which has its own"),
    "a dtype": ((Net, (X, Y)), {"dtype": "float16"}, "unknown `dtype`='float16'"),
    "budget and seeds": ((Net, (X, Y)), {"budget": "5 min", "seeds": 3, "protocol": None}, "it chooses them"),
    "a strange budget": ((Net, (X, Y)), {"budget": "soon", "protocol": None}, 'such as "90 s"'),
    "what needs another model": ((Net, (X, Y)), {"init": ["fixup"]}, "Fixup: cannot initialize this model"),
}


@pytest.mark.parametrize(("asked", "options", "message"), BAD.values(), ids=BAD)
def test_bad_input_gives_one_line(asked: Any, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InitsuiteError, match=message) as raised:
        initsuite.compare(*asked, results_dir=tmp_path, **{**FAST, **options})
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "trials").exists()


class Returning(Net):
    def forward(self, inputs: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"logits": self.layers(inputs), "hidden": inputs}


def test_a_dictionary_needs_output(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"returns a dictionary of logits, hidden.*output='logits'"):
        initsuite.compare(Returning, (X, Y), init="he", results_dir=tmp_path, **FAST)


def test_a_law_that_raises_is_named(tmp_path: Path) -> None:
    def broken(spec: ParamSpec, generator: torch.Generator) -> Tensor:
        raise ValueError("no")

    with pytest.raises(InitsuiteError, match=r"failed on .*ValueError: no"):
        initsuite.compare(Net, (X, Y), init=[broken], results_dir=tmp_path, **FAST)


def test_all_that_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from initsuite.config import catalogue

    monkeypatch.setattr(catalogue, "names", lambda: ["he", "fixup", "mimetic", "zero"])
    found = initsuite.compare(Net, (X, Y), init="all that fit", results_dir=tmp_path, **FAST)
    assert {"he", "zero"} <= set(found.table.init)
    assert "fixup" not in set(found.table.init)
    assert "Left out, as they are not for this model: " in capsys.readouterr().out


NET = """
import torch
from torch import nn
import initsuite

class MyNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    def forward(self, inputs):
        return self.layers(inputs)
"""
DATA = """
generator = torch.Generator().manual_seed(0)
x = torch.randn(240, 8, generator=generator)
y = x[:, :3].argmax(1)
"""
CALL = (
    "initsuite.compare(MyNet, (x, y), init=['he', 'zero'], protocol='fixed', optimizer=('adam', {'lr': 0.01}), "
    "seeds=3, max_steps=8, batch_size=16, max_stack=2"
)
"""Six trials in three stacks."""


def ended(source: str, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    (folder / "script.py").write_text(source)
    given = [sys.executable, *(command or ["script.py"])]
    done = subprocess.run(given, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def guarded(call: str, has_guard: bool) -> str:
    return f'if __name__ == "__main__":\n    {call}\n' if has_guard else f"{call}\n"


@pytest.mark.slow
@pytest.mark.parametrize(("has_guard", "workers"), [(False, ""), (False, ", workers=2"), (True, ", workers=2")])
def test_a_script(tmp_path: Path, has_guard: bool, workers: str) -> None:
    source = NET + DATA + guarded(f"print({CALL}{workers}), 'END')", has_guard)
    done = ended(source, tmp_path)
    assert done.stdout.count("END") == 1
    assert "in a process of its own" not in done.stdout
    assert ("MyNet cannot be imported by worker processes" in done.stdout) == bool(workers)
    assert len(stored(tmp_path / "results")) == 6
    assert "already stored" in ended(source, tmp_path).stdout


@pytest.mark.slow
@pytest.mark.parametrize("has_guard", [False, True])
def test_a_script_with_its_network_in_a_module(tmp_path: Path, has_guard: bool) -> None:
    """Worker processes start the script again: without the guard they are refused, and threads do their work."""
    (tmp_path / "mynet.py").write_text(NET)
    source = "import torch, initsuite\nfrom mynet import MyNet\n" + DATA
    done = ended(source + guarded(f"print({CALL}, workers=2), 'END')", has_guard), tmp_path)
    assert done.stdout.count("END") == 1
    assert len(stored(tmp_path / "results")) == 6
    assert ("a worker process has started your script again" in done.stderr) == (not has_guard)
    assert ("Training in one process: no other can do it" in done.stdout) == (not has_guard)


@pytest.mark.slow
def test_a_class_in_a_cell_of_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    call = f"result = {CALL})"
    cells = [NET, DATA, f"{call}\nresult", f"{call}\nprint(len(result.trials))"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.outputs]
    assert any("Recommended" in output.get("data", {}).get("text/html", "") for output in shown)
    assert not [output for output in shown if output.get("name") == "stderr"]
    said = "".join(str(output.get("text", "")) + str(output.get("data", "")) for output in notebook.cells[3].outputs)
    assert "already stored" in said
    assert "No source can be read" not in str(shown)
    assert len(stored(tmp_path / "results")) == 6


@pytest.mark.slow
def test_without_a_source_nothing_is_used_again(tmp_path: Path) -> None:
    """As with `python -c`, or in an interactive session."""
    for count in (6, 12):
        done = ended("", tmp_path, "-c", f"{NET}{DATA}print({CALL}))")
        assert "No source can be read of __main__.MyNet" in done.stdout
        assert len(stored(tmp_path / "results")) == count
