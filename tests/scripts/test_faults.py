"""The script that tries to break the suite: what it counts, and that it would notice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from faults import bad_inputs, damages, forks, kills, servers
from faults.__main__ import main
from faults.bad_inputs import Input, kind_of

from initsuite.results.store import Store
from initsuite.spec import Curve
from support.wandb_server import ServerRun, serving


def test_damages_bits_and_prunes_find_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bits", "damages", "--stride", "400", "--number", "4"]) == 0
    shown = capsys.readouterr().out
    assert "Damages of claims: 4 survived" in shown
    assert "Everything went as it should." in shown


def test_what_a_kill_may_do_to_results_is_found(tmp_path: Path) -> None:
    """A trial that is lost, one that is stored twice, another number, and a lease that stays."""
    whole = damages.plant(tmp_path / "whole", num_parts=2, trials_a_part=3)
    assert kills.differences(damages.plant(tmp_path / "same", num_parts=2, trials_a_part=3), whole) == []
    lacking = damages.plant(tmp_path / "lacking", num_parts=1, trials_a_part=3)
    assert kills.differences(lacking, whole)[0] == "3 of 6 trials are missing in trials"
    assert "3 rows for 6 trials" in kills.differences(lacking, whole)
    step = np.arange(20, 201, 20)
    other = Store(damages.plant(tmp_path / "other", num_parts=1, trials_a_part=3))
    rows = [damages._row(name) for name in ("000-0", "001-0", "001-1", "001-2")]
    rows[-1]["test_score"] = float(np.nextafter(0.5, 1.0))
    other.append(rows, {row["trial_id"]: Curve(step, 1 / step, 1 / step, 1 - 1 / step) for row in rows})
    found = kills.differences(damages.with_leases(other.directory, 1), whole)
    assert found == ["trials differ in test_score", "7 rows for 6 trials", "left in the folder: stack-0.json"]


def test_a_reader_that_takes_what_is_damaged_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damages, "read_sealed", lambda path: path.read_bytes())
    store = damages.with_leases(damages.plant(tmp_path / "store", num_parts=1), 1)
    found = {flips.kind: flips for flips in damages.flipped_bits(store, stride=400)}
    assert found["plans"].noticed == 0 < found["plans"].tried
    assert found["trials"].noticed == found["trials"].tried


def test_what_is_lost_or_breaks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = damages.with_leases(damages.plant(tmp_path / "store", num_parts=2, trials_a_part=6), 1)
    became = {found for kind, _, found in damages.damaged_files(store, 3) if kind == "trials"}
    assert any("6 trials lost" in one for one in became), "a part with more trials than this store may lose"
    monkeypatch.setattr(damages, "Plans", lambda directory: 1 / 0)
    assert {found for _, _, found in damages.damaged_files(store, 1)} == {"traceback: ZeroDivisionError"}


@pytest.mark.parametrize(
    ("code", "errors", "kind"),
    [
        (0, "", "accepted"),
        (2, "seeds: bad value", "refused"),
        (1, "Traceback (most recent call last):\n  x\ninitsuite.errors.ConfigError: bad value", "refused"),
        (1, "Traceback (most recent call last):\n  x\nKeyError: 'a'", "traceback"),
        (1, "Traceback (most recent call last):\n  x\nMemoryError", "memory"),
        (-9, "", "killed by signal 9"),
        (1, "8 trials failed", "exit code 1"),
    ],
)
def test_what_an_exit_says(code: int, errors: str, kind: str) -> None:
    assert kind_of(code, errors) == kind


@pytest.mark.slow
def test_a_command_in_a_fork_is_the_command(tmp_path: Path) -> None:
    """Its exit code, what it prints, where it is; and one that does not end is ended."""
    code = "import os, sys; print(os.getcwd(), os.environ['A'], sys.argv); sys.exit(3)"
    done = forks.run_forked(["-c", code, "x"], tmp_path, {"A": "b"}, 60, 8 << 30)
    assert (done.code, done.stdout) == (3, f"{tmp_path} b ['-c', 'x']\n")
    assert kind_of(1, forks.run_forked(["-c", "1 / 0"], tmp_path, {}, 60, 8 << 30).stderr) == "traceback"
    assert forks.run_forked(["-c", "while True: pass"], tmp_path, {}, 0.5, 8 << 30).code is None
    done = forks.run_forked(["-m", "initsuite.train", "seeds=0"], tmp_path, {}, 60, 8 << 30)
    assert (done.code, "bad value `seeds`=0" in done.stderr) == (2, True)


def test_a_server_that_lacks_a_point_is_found() -> None:
    lines = {place: json.dumps({"val/loss": loss}) for place, loss in enumerate((0.5, 0.25))}
    summary = {0: json.dumps({"result/test_accuracy": 1.0})}
    with serving() as server:
        for name, kept in (("whole", 2), ("short", 1)):
            files = {"wandb-history.jsonl": dict(list(lines.items())[:kept]), "wandb-summary.json": summary}
            server.runs[name] = ServerRun(files=files)
        server.runs["no summary"] = ServerRun(files={"wandb-history.jsonl": lines})
        assert servers.has_all_of(server, {name: [0.5, 0.25] for name in server.runs}) == {"whole"}


def test_arguments_become_commands(tmp_path: Path) -> None:
    words = bad_inputs.command_of(Input("results_dir", "results_dir='DIR space' seeds=1", "accepted"), tmp_path)
    assert words[-2:] == [f"results_dir='{tmp_path} space'", "seeds=1"]
    assert "protocol=smoke" in words
    assert bad_inputs.command_of(Input("report", "report DIR", "refused"), tmp_path)[-2:] == ["report", str(tmp_path)]
    assert len(bad_inputs.inputs()) > 400
