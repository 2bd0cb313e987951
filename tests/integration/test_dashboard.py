"""`python -m initsuite.dashboard`: what would be saved, and what a stand-in for the server is asked to save."""

from __future__ import annotations

import base64
import json
import math
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import initsuite
from initsuite.dashboard import dashboard_content, exact_tables, main
from initsuite.errors import InitsuiteError
from initsuite.report.verdicts.recommendations import build_report
from initsuite.report.verdicts.views import Views
from initsuite.results.store import Store, load_results
from initsuite.spec import Stage, Trial
from initsuite.tracking.dashboard_spec import specification
from initsuite.tracking.save_dashboards import Saver
from initsuite.tracking.settings import Tracking
from support.small_store import make_store, stored_curve, stored_row

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library's own, of pydantic

LIMIT_S = 4.0
VOLATILE = {"__id__", "id", "name", "project"}
"""Keys of a specification that the library draws by chance, or that only the server knows."""


@pytest.fixture
def results_dir(tmp_path: Path) -> Path:
    return make_store(tmp_path / "r")


def dry_run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--dry-run"]) == 0
    return json.loads(capsys.readouterr().out)


def panels(specification: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    sections = specification["workspace"]["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in sections}


def run_set(specification: dict[str, Any]) -> dict[str, Any]:
    [found] = specification["workspace"]["spec"]["section"]["runSets"]
    return found


def values(tree: Any, key: str) -> Iterator[Any]:
    """The values of a key, wherever it is in a tree."""
    if isinstance(tree, dict):
        yield from (value for name, value in tree.items() if name == key)
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from values(child, key)


def steady(tree: Any) -> Any:
    """A tree without the volatile keys."""
    if isinstance(tree, dict):
        return {key: steady(value) for key, value in tree.items() if key not in VOLATILE}
    return [steady(item) for item in tree] if isinstance(tree, list) else tree


def test_a_dry_run_writes_the_specification(isolated_wandb, results_dir, capsys, monkeypatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a dry run needs no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    found = dry_run(capsys, str(results_dir), "--project", "p", "--entity", "team")
    assert list(panels(found)) == ["Leaderboard", "Curves", "Speed", "Failures"]
    bars = {panel["config"]["metrics"][0] for panel in panels(found)["Leaderboard"] if "metrics" in panel["config"]}
    assert bars == {"result/reached", "result/steps_to_target", "result/test_accuracy"}
    curves = [panel["config"] for panel in panels(found)["Curves"]]
    assert [config["metrics"] for config in curves] == [["val/accuracy"], ["val/loss"], ["train/loss"]]
    for config in curves:
        assert (config["groupBy"], config["groupAgg"], config["groupArea"]) == ("group", "mean", "minmax")
        assert config["smoothingType"] == "none"
    speed = [panel["config"]["metrics"][0] for panel in panels(found)["Speed"]]
    assert speed == ["result/steps_to_target", "result/loss_auc"]
    counts = panels(found)["Failures"][0]["config"]["value"]
    assert re.search(r"\| tuned +\| zero +\| 6 +\| 1 ", counts)
    assert found["run"]["job_type"] == "report"
    assert found["run"]["tables"][:2] == ["recommendations", "arms"]


def test_what_was_measured_at_step_0_has_a_section(isolated_wandb, tmp_path, capsys) -> None:
    measured = {"signal_verdict": "dead", "signal_layer": "l1", "signal_q_ratio": 0.5, "signal_gradient_ratio": 2.0}
    folder = make_store(tmp_path / "r", **measured)
    found = dry_run(capsys, str(folder), "--project", "p", "--entity", "team")
    configs = [panel["config"] for panel in panels(found)["Signal at step 0"]]
    assert [config["xAxis"] for config in configs] == [
        f"summary:signal/{name}" for name in ("q_ratio", "gradient_ratio", "loss_ratio")
    ]
    assert {config["yAxis"] for config in configs} == {"summary:result/test_accuracy"}
    assert all(config["xAxisLogScale"] for config in configs)
    assert "signal" in found["run"]["tables"]
    assert "signal/verdict" in str(run_set(found))


def test_runs_are_grouped_by_cell_with_pinned_columns_and_a_baseline(isolated_wandb, results_dir, capsys) -> None:
    found = run_set(dry_run(capsys, str(results_dir), "--project", "p", "--entity", "team"))
    [condition] = found["filters"]["filters"]
    assert (condition["key"]["name"], condition["op"], condition["value"]) == ("jobType", "=", "train")
    assert [key["name"] for key in found["grouping"]] == ["group"]
    assert "summary:result/steps_to_target" in found["runFeed"]["columnPinned"]
    trials = load_results(results_dir).trials.set_index("trial_id")
    _, _, trial_id, project, entity = base64.b64decode(found["baselineRunId"]).decode().split(":")
    assert (project, entity) == ("p", "team")
    assert trials.loc[trial_id][["init", "stage"]].tolist() == ["torch_default", "score"]


def test_cells_that_share_a_group_are_told_apart(isolated_wandb, results_dir, capsys) -> None:
    trial = Trial("another-cell", 1.0, 0, Stage.SCORE)
    Store(results_dir).append([stored_row(trial, "he")], {trial.trial_id: stored_curve("he")})
    found = dry_run(capsys, str(results_dir))
    assert [key["name"] for key in run_set(found)["grouping"]] == ["group", "cell_id.value"]
    assert all("groupBy" not in panel["config"] for panel in panels(found)["Curves"]), "the panels follow the run set"


def test_the_report_has_the_sentences_the_table_and_how_it_was_measured(isolated_wandb, results_dir, capsys) -> None:
    found = dry_run(capsys, str(results_dir))
    texts = [text for text in values(found["report"], "content") if isinstance(text, str)]
    assert "he reaches the target 0.7 in 6 of 6 seeds" in texts[0]
    assert "| dataset   | model    |" in texts[0]
    assert "curves.png" not in texts[0]
    assert "scoring trials: 18" in texts[1]
    conditions = [
        found for listed in values(found["report"], "filters") if isinstance(listed, list) for found in listed
    ]
    assert [condition["value"] for condition in conditions] == ["train", found["run"]["id"]]


def test_each_of_several_workloads_has_a_section_of_the_report_with_its_runs_alone(
    isolated_wandb, results_dir, capsys
) -> None:
    alone = dry_run(capsys, str(results_dir))
    assert not [block for block in values(alone["report"], "type") if block == "heading-two"]
    content = dashboard_content(Views(build_report(load_results(results_dir))), "team", "p")
    assert len(content.workloads) == 1
    two = replace(content, workloads=[*content.workloads, {**content.workloads[0], "activation": "tanh"}])
    page = specification(two)["report"]
    found = [
        condition["value"] for listed in values(page, "filters") if isinstance(listed, list) for condition in listed
    ]
    assert found.count("tanh") == 1
    assert found.count(content.workloads[0]["dataset"]) == 2
    assert "tanh" in json.dumps(page)


def test_a_file_gets_the_specification(isolated_wandb, results_dir, capsys, tmp_path) -> None:
    out = tmp_path / "dashboard.json"
    assert main([str(results_dir), "--dry-run", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"Written: {out}\n"
    assert json.loads(out.read_text())["workspace"]["project"] == "initsuite"


@pytest.mark.slow
def test_a_run_a_workspace_and_a_report_are_saved(wandb_server, results_dir, capsys, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(results_dir / "cache"))
    expected = dry_run(capsys, str(results_dir), "--project", "p", "--entity", "someone")
    assert main([str(results_dir), "--project", "p"]) == 0
    output, errors = capsys.readouterr()
    assert "Traceback" not in errors
    saved = {name: variables for name, variables in wandb_server.asked if name in ("UpsertView2", "upsertView")}
    for name, kind in (("UpsertView2", "workspace"), ("upsertView", "report")):
        assert (saved[name]["entityName"], saved[name]["projectName"]) == ("someone", "p")
        assert steady(json.loads(saved[name]["spec"])) == steady(expected[kind]["spec"])
    assert f"{wandb_server.url}/someone/p/reports/" in output

    [(run_id, run)] = wandb_server.runs.items()
    assert (run_id, run.made[0]["jobType"], run.exit_code) == (expected["run"]["id"], "report", 0)
    for name, table in exact_tables(Views(build_report(load_results(results_dir)))).items():
        logged = json.loads(wandb_server.uploads[run.summary[name]["path"]])
        assert logged["columns"] == list(table.columns)
        for logged_row, row in zip(logged["data"], table.itertuples(index=False), strict=True):
            assert [_plain(cell) for cell in logged_row] == [_plain(cell) for cell in row]
    assert {key for key in run.summary if key.startswith("figures/")} >= {"figures/curves", "figures/steps_to_target"}

    assert main([str(results_dir), "--project", "p"]) == 0
    again = [variables.get("id") for name, variables in wandb_server.asked if name in ("UpsertView2", "upsertView")]
    assert again[:2] == [None, None]
    assert None not in again[2:], "the second call changes what the first has saved"
    assert wandb_server.runs.keys() == {run_id}
    assert initsuite.load_results("wandb:someone/p").trials.empty, "the run of the report is no trial"


def _plain(cell: Any) -> Any:
    """A cell of a table; missing values and infinity as text, since JSON has no numbers for them."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "NaN"
    return "Infinity" if cell == math.inf else cell


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "message"), [("hang", "has not taken the run.*within 4 s"), ("", "404 Not Found")])
def test_a_server_that_does_not_take_it_is_said_in_time(wandb_server, results_dir, fault, message) -> None:
    views = Views(build_report(load_results(results_dir)))
    saver = Saver(Tracking(dir=str(results_dir), mode="online", finish_timeout_s=LIMIT_S))
    content = dashboard_content(views, saver.entity, "initsuite")
    wandb_server.fault = fault
    wandb_server.broken, wandb_server.broken_status = {content.report_run}, 404
    with pytest.raises(InitsuiteError, match=message):
        saver.save(content, exact_tables(views), [])


def test_without_a_key_nothing_is_saved(isolated_wandb, results_dir, capsys) -> None:
    assert main([str(results_dir)]) == 2
    assert re.search("dashboard: cannot save: no API key.*Run `wandb login`", capsys.readouterr().err)


def test_without_the_extra_the_error_says_how_to_install_it(isolated_wandb, results_dir, capsys, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.startswith("wandb_workspaces")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert main([str(results_dir), "--dry-run"]) == 2
    assert re.search(r'pip install "initsuite\[dashboards\]"', capsys.readouterr().err)


def test_no_results_are_said(isolated_wandb, tmp_path, capsys) -> None:
    assert main([str(tmp_path / "nowhere"), "--dry-run"]) == 2
    assert "no results store at" in capsys.readouterr().err


@pytest.mark.slow
def test_a_dry_run_never_imports_torch(isolated_wandb, results_dir) -> None:
    code = f"import sys; from initsuite.dashboard import main; main([{str(results_dir)!r}, '--dry-run'])"
    done = subprocess.run([sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)"], capture_output=True)
    assert done.returncode == 0
