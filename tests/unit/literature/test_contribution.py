"""initsuite results check: a folder with a law, a claim and rows; what is as stated, and what is not."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import yaml

from initsuite.literature.claim import read_claim
from initsuite.literature.contribution import check
from initsuite.literature.contribution.reading import importable
from initsuite.literature.running import Command, run_claim
from initsuite.results.columns import KINDS
from initsuite.results.parts import new_name, write_parts
from initsuite.results.store import load_results

LAW = """\
from dataclasses import dataclass
import torch

@dataclass(frozen=True)
class Triangular:
    gain: float = 1.0

    def __call__(self, spec, generator):
        uniform = torch.rand(2, *spec.shape, generator=generator) - 0.5
        return uniform.sum(0) * 6**0.5 * self.gain / spec.fan_in**0.5
"""
CLAIM = {
    "name": "triangular", "statement": "Triangular weights are as good as zeros are bad.", "prediction": "They are.",
    "reference": {"authors": "A", "year": 1, "title": "T", "section": "1", "arxiv": ""}, "setting": "Tiny.",
    "expected": "reproduced", "tier": "fast",
    "starts": {"base": ["model.width=8"], "params": {"init": "he,zero"}, "measures": ["born_dead"], "draws": 20},
    "trials": {
        "base": ["model.width=8", "protocol=smoke", "seeds=4", "optimizer.lr_grid=[0.1]", "max_steps=20",
                 "eval_every=10"],
        "sweeps": [{"init": "he,zero"}, {"init": "custom", "init._target_": "law.Triangular"}],
        "published_lr": 0.05,
    },
    "criteria": [
        {"name": "zeros are dead", "kind": "within", "measure": "born_dead", "where": {"init": "zero"}, "low": 0.5,
         "high": 1},
        {"name": "it is better than zeros", "kind": "score", "better": {"init": "custom"}, "worse": {"init": "zero"},
         "minimum": 0.1},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A contribution as its author would have made it."""
    results = tmp_path_factory.mktemp("contributed")
    made = results / "triangular"
    made.mkdir()
    (made / "law.py").write_text(LAW, encoding="utf-8")
    (made / "claim.yaml").write_text(yaml.safe_dump(CLAIM), encoding="utf-8")
    with importable(made):
        run_claim(read_claim("triangular", CLAIM), Command(results), lambda line: None)
    return made


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of it to change."""
    yield Path(shutil.copytree(folder, tmp_path / "own"))
    assert "law" not in sys.modules


def rewritten(folder: Path, change: Callable[[dict[str, pd.DataFrame]], Any]) -> None:
    """Change rows, and write them as parts whose hash fits: what nobody would see without making them again."""
    found = load_results(folder)
    tables = {"curves": found.curves, "trials": found.trials}
    change(tables)
    for kind in KINDS:
        shutil.rmtree(folder / kind)
    arrow = {kind: pa.Table.from_pandas(rows, KINDS[kind], preserve_index=False) for kind, rows in tables.items()}
    write_parts(folder, new_name(), arrow)


def checked(folder: Path, capsys: pytest.CaptureFixture[str], *keys: str) -> tuple[int, str]:
    code = check.main([str(folder), *keys])
    out, err = capsys.readouterr()
    return code, out + err


@pytest.mark.slow  # the contribution is trained once for all
def test_a_good_folder_passes_and_says_what_a_maintainer_needs(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = checked(own, capsys, "k=2", "seed=1")
    assert code == 0, said
    assert "Own code, which is run: law.py" in said
    assert "Trials: 27 of 3 cells in 1 context; 27 done" in said
    assert "Seeds, score: 4, from 0 to 3" in said
    assert "Seeds, tune: 1, from 10000 to 10000" in said
    assert "Made again (k=2, seed=1): 2 draws of starts, 2 of them the same to the bit" in said
    (line,) = (line for line in said.splitlines() if line.startswith("Made again") and " trials" in line)
    trained, equal = line.split("): ")[1].split(" trials, ")
    assert equal.startswith(f"{trained} of them the same to the bit; largest difference 0, the same bits expected")
    assert "  triangular: " in said
    assert "ships: no such claim" in said
    assert "p against the row above" in said
    assert said.endswith("All is as the rows state.\n")


def scaled_loss(tables: dict[str, pd.DataFrame]) -> None:
    tables["curves"].loc[tables["curves"].step == 10, "train_loss"] *= 1 + 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(("change", "message"), [
    (scaled_loss, "Expected the same bits"),
    (lambda tables: tables["trials"].insert(0, "final_val_score", tables["trials"].pop("final_val_score") + 0.01),
     "bad `final_val_score`=.*that of its curve"),
    (lambda tables: tables["trials"].insert(0, "test_score", tables["trials"].pop("test_score") + 0.01),
     "trained again it is 0.01 apart. Expected the same bits"),
    (lambda tables: tables["trials"].insert(0, "seed", tables["trials"].pop("seed") + 1),
     "27 trials with an id that is not theirs"),
    (lambda tables: tables["trials"].replace({"init": {"he": "mine"}}, inplace=True),
     "bad `init`=.'mine'.. Expected 'he'"),
    (lambda tables: tables["trials"].replace("\"gain\": 1.41", "\"gain\": 1.51", regex=True, inplace=True),
     "its configuration is not what its overrides make: init.gain"),
], ids=["curve", "score", "test score", "seed", "label", "configuration"])  # fmt: skip
def test_a_doctored_row_is_found(own: Path, capsys: pytest.CaptureFixture[str], change, message: str) -> None:
    rewritten(own, change)
    code, said = checked(own, capsys, "k=20")
    assert code == 1
    assert re.search(message, said), said


@pytest.mark.slow
def test_another_law_and_none_are_found(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "law.py").write_text(LAW.replace("6**0.5", "7**0.5"), encoding="utf-8")
    code, said = checked(own, capsys, "k=0")
    assert code == 1
    assert "its id comes out as" in said
    assert "is not the one that these rows were made with" in said
    (own / "law.py").unlink()
    code, said = checked(own, capsys, "k=0")
    assert code == 1
    assert re.search(r"cell \w+ \(.*Triangular.*\): cannot be made: .*law", said), said


@pytest.mark.slow
def test_starts_and_arms_that_are_left_out_are_found(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = next((own / "starts").iterdir())
    table = pd.read_parquet(part)
    table.assign(born_dead=0.25).to_parquet(part, index=False)
    rewritten(own, lambda tables: tables.update(trials=tables["trials"].query("init != 'he'")))
    code, said = checked(own, capsys, "k=40", "tolerance=0.01")
    assert code == 1
    assert "bad `born_dead`=0.25. Measured again it is" in said
    assert "1 cell of the sweep are missing" in said
    damaged = next((own / "trials").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with pytest.warns(UserWarning, match="its content is not that of its name"):
        code, said = checked(own, capsys)
    assert code == 2
    assert "check: damaged `" in said


@pytest.mark.parametrize(("arguments", "message"), [
    (["{}"], "check: no rows in `FOLDER`"),
    (["{}", "k=many"], "bad value `k`='many'. Expected a number"),
    (["{}", "k=-1"], "bad value `k`=-1. Expected a whole number from 0"),
    (["{}", "sed=1"], "unknown `key`='sed'. Expected one of: k, seed, tolerance. Did you mean `seed`?"),
    (["{}", "tolerance=-1"], "bad value `tolerance`=-1"),
    (["reference@1999.1"], "unknown `release`='1999.1'"),
], ids=str)  # fmt: skip
def test_what_cannot_be_checked_is_said(arguments, message: str, tmp_path: Path, capsys) -> None:
    assert check.main([word.format(tmp_path) for word in arguments]) == 2
    assert message in capsys.readouterr().err


def test_starts_of_no_claim_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "starts").mkdir()
    table = pd.DataFrame({"cell": ["c"], "seed": [0], "measures": ["born_dead"], "config": [json.dumps({})]})
    table.to_parquet(tmp_path / "starts" / "c.parquet")
    assert check.main([str(tmp_path)]) == 2
    assert "belongs to no claim. Expected a claim.yaml with `starts`" in capsys.readouterr().err
