"""Checkpoints: whole or ignored, and never in the way of the training."""

import os
import re
import warnings
from pathlib import Path

import pytest
import torch

from initsuite.engine.checkpoint import Checkpoint, remove_checkpoint

LAYOUT = ["torch.float32 [2, 3]"]
SNAPSHOT = {"step": 7, "params": {"w": torch.tensor([[1.5, -0.0, float("nan")], [1e-42, 3.0, 4.0]])}}


def saved(directory: Path, identity: dict[str, str] | None = None) -> Checkpoint:
    checkpoint = Checkpoint(directory / "sub" / "a.pt", 0.0, identity or {"stack_id": "a", "torch_version": "1"})
    checkpoint.save(LAYOUT, lambda: SNAPSHOT)
    return checkpoint


def test_what_is_saved_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    snapshot = saved(tmp_path).load(LAYOUT)
    assert snapshot is not None
    assert snapshot["step"] == 7
    values = snapshot["params"]["w"]
    assert torch.equal(values.view(torch.int32), SNAPSHOT["params"]["w"].view(torch.int32))
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.pt"]


def test_torch_loads_it_without_running_code(tmp_path: Path) -> None:
    assert torch.load(saved(tmp_path).path, weights_only=True)["identity"]["stack_id"] == "a"


def test_there_may_be_none(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Checkpoint(tmp_path / "a.pt", 0.0, {}).load(LAYOUT) is None


def test_a_snapshot_is_made_only_when_it_is_time(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "a.pt", 1e6, {})
    checkpoint.save(LAYOUT, lambda: pytest.fail("too early"))
    assert not checkpoint.path.exists()


@pytest.mark.parametrize(
    ("identity", "layout", "named"),
    [
        ({"stack_id": "b", "torch_version": "1"}, LAYOUT, "stack_id"),
        ({"stack_id": "a"}, LAYOUT, "torch_version"),
        ({"stack_id": "a", "torch_version": "1"}, ["torch.float64 [2, 3]"], "layout"),
    ],
)
def test_one_of_another_identity_is_ignored(tmp_path: Path, identity, layout, named: str) -> None:
    path = saved(tmp_path).path
    with pytest.warns(UserWarning, match=f"of another {named}. The stack starts over"):
        assert Checkpoint(path, 0.0, identity).load(layout) is None


def damages() -> list:
    def middle(content: bytes) -> bytes:
        at = content.index(torch.tensor([1.5]).numpy().tobytes())
        return content[:at] + b"\xff" + content[at + 1 :]

    return [
        pytest.param(lambda content: content[: len(content) // 2], id="truncated"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"no checkpoint", id="another file"),
        pytest.param(middle, id="one byte of a tensor"),
    ]


@pytest.mark.parametrize("damage", damages())
def test_a_damaged_one_is_ignored(tmp_path: Path, damage) -> None:
    checkpoint = saved(tmp_path)
    checkpoint.path.write_bytes(damage(checkpoint.path.read_bytes()))
    with pytest.warns(UserWarning, match=re.escape(f"`{checkpoint.path}` is damaged")):
        assert checkpoint.load(LAYOUT) is None


def test_a_file_of_something_else_is_ignored(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "a.pt")
    with pytest.warns(UserWarning, match="is damaged .*The stack starts over"):
        assert Checkpoint(tmp_path / "a.pt", 0.0, {}).load(LAYOUT) is None


def test_a_disk_that_refuses_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("where a folder should be")
    checkpoint = Checkpoint(tmp_path / "file" / "a.pt", 0.0, {})
    with pytest.warns(UserWarning, match="cannot be written .*Training goes on"):
        checkpoint.save(LAYOUT, lambda: SNAPSHOT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint.save(LAYOUT, lambda: SNAPSHOT)


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch) -> None:
    checkpoint = saved(tmp_path)

    def full(content: object, path: Path) -> None:
        path.write_bytes(b"part")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.warns(UserWarning, match="file write failed"):
        checkpoint.save(LAYOUT, lambda: {"step": 8})
    snapshot = checkpoint.load(LAYOUT)
    assert snapshot is not None
    assert snapshot["step"] == 7
    assert os.listdir(checkpoint.path.parent) == ["a.pt"]


def test_an_error_of_the_training_is_no_error_of_the_disk(tmp_path: Path) -> None:
    def broken() -> dict:
        raise RuntimeError("device lost")

    with pytest.raises(RuntimeError, match="device lost"):
        Checkpoint(tmp_path / "a.pt", 0.0, {}).save(LAYOUT, broken)


def test_remove_leaves_nothing_and_may_be_called_twice(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    (checkpoint.path.parent / ".a.pt.0123abcd.tmp").write_text("left by a process that was killed")
    (checkpoint.path.parent / "b.pt").write_text("of another stack")
    remove_checkpoint(checkpoint.path)
    remove_checkpoint(checkpoint.path)
    assert os.listdir(checkpoint.path.parent) == ["b.pt"]


def test_a_file_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.pt").mkdir()
    with pytest.warns(UserWarning, match="cannot be removed"):
        remove_checkpoint(tmp_path / "a.pt")
