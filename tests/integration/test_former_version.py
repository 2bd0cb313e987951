"""A store that the former protocol version has half trained: this one trains all that it needs, and marks both."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import pytest

import initsuite
from initsuite.report.evidence.evidence import gather_evidence
from initsuite.results import __main__ as results_door
from initsuite.spec import PROTOCOL_VERSION
from initsuite.train.launch import run_cells
from initsuite.train.recorder import Recorder

FORMER = PROTOCOL_VERSION - 1
COMMAND = (
    "protocol=smoke", "seeds=2", "optimizer.lr_grid=[0.01,0.1,1.0]", "max_steps=40", "eval_every=20",
    "max_stack=2", "workers=1", "checkpoint_every_s=0", "tracking=disabled",
)  # fmt: skip
ARMS = ("he", "zero")
STORED_STACKS = 2


@contextmanager
def version(number: int) -> Iterator[None]:
    """The package as it is, with another protocol version, wherever it is read."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("initsuite.") and "PROTOCOL_VERSION" in vars(module):
                patch.setattr(module, "PROTOCOL_VERSION", number)
        yield


def launch(build_job, folder: Path) -> None:
    built = [build_job(f"init={arm}", f"results_dir={folder}", *COMMAND) for arm in ARMS]
    run_cells([job for job, _ in built], built[0][1])


def interrupted(build_job, folder: Path) -> None:
    """A launch that Ctrl-C ends in its third stack, after the first checkpoint."""
    real = Recorder.take

    def take(recorder: Recorder, event) -> None:
        real(recorder, event)
        is_late = len(list((folder / "trials").glob("*.parquet"))) == STORED_STACKS
        if is_late and any((folder / "checkpoints").glob("*.pt")):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(Recorder, "take", take)
        launch(build_job, folder)
        pytest.fail("nothing was interrupted")


@pytest.fixture(scope="module")
def stores(build_job, tmp_path_factory) -> tuple[Path, Path, pd.DataFrame]:
    """A store that both versions trained into, one that only this version did, and the former rows of the first."""
    folder = tmp_path_factory.mktemp("versions")
    both, fresh = folder / "both", folder / "fresh"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        with version(FORMER):
            interrupted(build_job, both)
        former = initsuite.load_results(both).trials
        assert len(former) == STORED_STACKS * 2
        assert len(list((both / "checkpoints").glob("*.pt"))) == 1
        assert len(list((both / "plans").glob("*.json"))) == 1
        launch(build_job, both)
        launch(build_job, fresh)
    return both, fresh, former


MEASURES = ["status", "loss_auc", "final_val_score", "best_val_score", "test_score", "lr", "seed", "stage", "init"]


def of_version(folder: Path, number: int) -> pd.DataFrame:
    trials = initsuite.load_results(folder).trials
    return trials[trials.protocol_version == number].set_index("trial_id").sort_index()


def test_everything_that_this_version_needs_is_trained(stores) -> None:
    """The same trials with the same bits as in a store that the former version never saw."""
    both, fresh, _ = stores
    got, expected = (of_version(folder, PROTOCOL_VERSION)[MEASURES] for folder in (both, fresh))
    assert len(expected) == len(ARMS) * (3 + 2)
    pd.testing.assert_frame_equal(got, expected, check_exact=True)


def test_the_former_rows_stay_as_they_were_with_their_version(stores) -> None:
    both, _, former = stores
    assert set(former.protocol_version) == {FORMER}
    pd.testing.assert_frame_equal(of_version(both, FORMER), former.set_index("trial_id").sort_index(), check_exact=True)
    curves = initsuite.load_results(both).curves
    assert set(former.trial_id) <= set(curves.trial_id)


def test_no_checkpoint_of_the_former_version_stays(stores) -> None:
    both, _, _ = stores
    assert list((both / "checkpoints").iterdir()) == []


def test_the_report_says_what_it_leaves_out(stores) -> None:
    both, fresh, former = stores
    evidence, expected = (gather_evidence(initsuite.load_results(folder)) for folder in (both, fresh))
    said = f"{len(former)} trials of protocol version {FORMER} are left out: their numbers do not compare"
    assert evidence.notes[0].startswith(said)
    assert set(evidence.trials.trial_id) == set(expected.trials.trial_id)


def test_results_show_counts_both(stores, capsys) -> None:
    both, fresh, former = stores
    assert results_door.main(["show", str(both)]) == 0
    now = len(of_version(fresh, PROTOCOL_VERSION))
    expected = f"{FORMER} ({len(former)} trials), {PROTOCOL_VERSION} ({now} trials)"
    assert expected in " ".join(capsys.readouterr().out.split())
