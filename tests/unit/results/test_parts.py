"""Parts of a store: what is read is what was written, all of it, whatever happens to the files meanwhile."""

from __future__ import annotations

import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from initsuite.errors import StoreError
from initsuite.results import parts
from initsuite.results.columns import TRIALS
from initsuite.results.maintain import prune
from initsuite.results.parts import PartReader, checked_table, parts_in, write_parts
from initsuite.results.store import Store, load_results
from support.planter import Planter


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for depth in range(2, 8):
        Planter(Store(tmp_path / "results"), depth=depth).arm("he", [100.0, 120.0])
    return tmp_path / "results"


@pytest.mark.parametrize("kind", ["trials", "curves"])
def test_every_flipped_bit_of_a_part_is_noticed(store: Path, kind: str) -> None:
    part = min((store / kind).glob("*.parquet"))
    content = part.read_bytes()
    assert checked_table(part).num_rows
    for place, bit in itertools.product(range(0, len(content), 29), range(8)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        part.write_bytes(bytes(flipped))
        with pytest.raises(pa.ArrowInvalid, match="its content is not that of its name"):
            checked_table(part)


def test_a_reader_finds_everything_while_a_prune_runs(store: Path) -> None:
    """At each part in turn: the prune puts away what the reader has listed and not read yet."""
    expected = set(load_results(store).trials.trial_id)
    for moment in range(len(parts_in(store))):
        Planter(Store(store), depth=20 + moment).arm("he", [100.0])
        expected = set(load_results(store).trials.trial_id)
        seen = itertools.count()

        def kept(kind: str, table: pa.Table, seen=seen, moment=moment) -> pa.Table:
            if next(seen) == moment:
                prune(store)
            return table

        found = PartReader(store, kept).together()
        rows = [table["trial_id"].to_pylist() for part, table in found.items() if part.parent.name == "trials"]
        assert set(itertools.chain(*rows)) == expected


def test_a_part_that_another_reader_has_put_away_is_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = max((store / "trials").glob("*.parquet"))
    place = store / "quarantine" / f"trials-{part.name}"
    place.parent.mkdir()
    read = Path.read_bytes

    def slow(path: Path) -> bytes:
        if path == part and path.exists():
            path.rename(place)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", slow)
    assert load_results(store).damaged == [place]


def test_a_store_that_never_stands_still(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = itertools.count()
    monkeypatch.setattr(parts, "parts_in", lambda directory: [store / "trials" / f"{next(names)}.parquet"])
    with pytest.raises(StoreError, match="changes faster than it can be read"):
        PartReader(store).together()


def test_a_column_of_an_unknown_name_in_place_of_a_known_one_is_damage(store: Path) -> None:
    """In a part without a hash, as older versions wrote them; a newer version only adds columns."""
    part = min((store / "trials").glob("*.parquet"))
    table = pq.read_table(part)
    part.unlink()
    newer = table.append_column("sharpness", pa.nulls(len(table)))
    pq.write_table(newer, store / "trials" / "newer.parquet")
    names = ["test_scorf" if name == "test_score" else name for name in table.column_names]
    pq.write_table(table.rename_columns(names), store / "trials" / "flipped.parquet")
    reader = PartReader(store)
    with pytest.warns(UserWarning, match="it has no column test_score, but 'test_scorf'"):
        found = reader.together()
    assert found[store / "trials" / "newer.parquet"].column_names == TRIALS.names
    assert [path.name for path in reader.damaged] == ["trials-flipped.parquet"]


def test_parts_that_are_written_together_share_a_name(tmp_path: Path) -> None:
    table = pa.table({"trial_id": ["a"]})
    name = write_parts(tmp_path, "now", {"trials": table, "curves": b"as it is"})
    assert {path.name for path in tmp_path.rglob("*.parquet")} == {name}
    assert (tmp_path / "curves" / name).read_bytes() == b"as it is"
    assert checked_table(tmp_path / "trials" / name).equals(table)
