"""Damaged files of a store, and a store that changes while it is read: what its readers make of them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from initsuite.errors import InitsuiteError
from initsuite.files import read_sealed
from initsuite.results.leases import Leases
from initsuite.results.maintain import prune
from initsuite.results.parts import checked_table
from initsuite.results.store import Store, load_results
from initsuite.spec import PROTOCOL_VERSION, Curve
from initsuite.train.plan.stored import Plans
from initsuite.train.task import Stack

KINDS = ("trials", "curves", "plans", "claims", "wandb/uploaded")
"""Folders of a store whose files are damaged."""


def plant(directory: Path, num_parts: int = 12, trials_a_part: int = 4) -> Path:
    """A store of planted trials with plans and records of uploads."""
    store, plans = Store(directory), Plans(directory)
    for part in range(num_parts):
        names = [f"{part:03d}-{trial}" for trial in range(trials_a_part)]
        step = np.arange(20, 201, 20)
        curve = Curve(step, 1 / step, 1 / step, 1 - 1 / step)
        store.append([_row(name) for name in names], dict.fromkeys(names, curve))
        plans.save([Stack(tuple(names), "cpu")])
    uploads = directory / "wandb" / "uploaded"
    uploads.mkdir(parents=True)
    for trial_id in load_results(directory).trials.trial_id:
        (uploads / trial_id).write_text(f"https://wandb.ai/planted/initsuite/runs/{trial_id}")
    return directory


def with_leases(directory: Path, number: int = 12) -> Path:
    """The store, with leases that this process holds to its end."""
    (directory / "claims").mkdir()
    holder = Leases(directory)
    for part in range(number):
        holder.take(f"stack-{part}")
    return directory


def _row(trial_id: str) -> dict[str, Any]:
    texts = dict.fromkeys(("cell_id", "context_id", "dataset", "model", "activation", "init"), "planted")
    numbers = {"lr": 0.1, "seed": 1, "test_score": 0.5, "final_val_score": 0.5, "protocol_version": PROTOCOL_VERSION}
    return {"trial_id": trial_id, "status": "done", "stage": "score", "config": "{}", **texts, **numbers}


@dataclass(frozen=True)
class Flips:
    """Single bits that were flipped in a file, and how many of them a reader notices."""

    kind: str
    tried: int
    noticed: int


def flipped_bits(directory: Path, stride: int) -> Iterator[Flips]:
    """Flip bits, every so many bytes, of the first file of each kind whose content counts."""
    readers: dict[str, Callable[[Path], object]] = {
        "trials": checked_table, "curves": checked_table, "plans": read_sealed, "claims": read_sealed
    }  # fmt: skip
    for kind, read in readers.items():
        path = min(path for path in (directory / kind).iterdir() if not path.name.startswith("."))
        content, expected = path.read_bytes(), read(path)
        tried = noticed = 0
        with path.open("r+b", buffering=0) as file:
            for place in range(0, len(content), stride):
                for byte in (*(content[place] ^ 1 << bit for bit in range(8)), content[place]):
                    os.pwrite(file.fileno(), bytes([byte]), place)
                    if byte != content[place]:
                        tried += 1
                        noticed += not _is_taken(read, path, expected)
        yield Flips(kind, tried, noticed)


def _is_taken(read: Callable[[Path], object], path: Path, expected: object) -> bool:
    """Whether a reader takes a file for a good one; an old-fashioned one with the same content is good."""
    try:
        return read(path) != expected or isinstance(expected, pa.Table)
    except (ValueError, OSError, pa.ArrowException):
        return False


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "emptied": lambda content, rng: b"",
    "cut": lambda content, rng: content[: rng.randrange(max(1, len(content)))],
    "a byte changed": lambda content, rng: _changed(content, rng, 1),
    "100 bytes changed": lambda content, rng: _changed(content, rng, 100),
    "a block of zeros": lambda content, rng: _zeroed(content, rng),
    "bytes added": lambda content, rng: content + rng.randbytes(50),
    "random bytes": lambda content, rng: rng.randbytes(len(content)),
    "a number": lambda content, rng: b"7",
    "another object": lambda content, rng: json.dumps({"a": 1, "pid": "x", "stacks": 0, "threads": 0}).encode(),
    "null": lambda content, rng: b"null",
}


def _changed(content: bytes, rng: random.Random, number: int) -> bytes:
    changed = bytearray(content)
    for _ in range(number if changed else 0):
        changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
    return bytes(changed)


def _zeroed(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(max(1, len(content)))
    return content[:start] + bytes(min(64, len(content) - start)) + content[start + 64 :]


def damaged_files(directory: Path, number: int, seed: int = 0) -> Iterator[tuple[str, str, str]]:
    """Damage a file, read the store as a launch and a report do, and put it right again, so many times for each kind.

    Yields:
        The kind of file, the damage, and what became of it: survived, a traceback, or trials of other parts that are
        missing or changed.
    """
    rng = random.Random(seed)
    whole = load_results(directory).trials.set_index("trial_id").sort_index()
    for kind in KINDS:
        for _ in range(number):
            copy = directory.with_name("damaged")
            shutil.copytree(directory, copy)
            path = rng.choice([path for path in sorted((copy / kind).iterdir()) if not path.name.startswith(".")])
            damage = rng.choice(sorted(DAMAGES))
            path.write_bytes(DAMAGES[damage](path.read_bytes(), rng))
            yield kind, damage, _after(copy, whole, path.name)
            shutil.rmtree(copy)


def _after(directory: Path, whole: Any, name: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = load_results(directory)
            stored = Store(directory).stored()
            Plans(directory).read()
            with Leases(directory) as leases:
                leases.take("stack-0")
                leases.holder("stack-0")
    except InitsuiteError as error:
        return f"refused: {str(error)[:60]}"
    except Exception as error:  # what this looks for
        return f"traceback: {type(error).__name__}"
    trials = found.trials.set_index("trial_id").sort_index()
    lost = whole.index.difference(trials.index)
    if len(lost) > 4:
        return f"{len(lost)} trials lost with `{name}`"
    if not trials.equals(whole.loc[trials.index]) or stored != set(trials.index):
        return "changed"
    return "survived"


def reads_beside_prunes(directory: Path, num_prunes: int) -> Counter[str]:
    """Read a store again and again while it is added to and pruned; how many reads find less than was there."""
    counts: Counter[str] = Counter()
    stop = threading.Event()
    there = len(load_results(directory).trials)
    least = [there]

    def read() -> None:
        while not stop.is_set():
            expected = least[0]
            counts["reads"] += 1
            counts["short"] += len(load_results(directory).trials) < expected

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    curve = Curve(np.arange(1, 4), np.ones(3), np.ones(3), np.ones(3))
    for index in range(num_prunes):
        for more in range(5):
            name = f"more-{index}-{more}"
            Store(directory).append([_row(name)], {name: curve})
        least[0] = len(load_results(directory).trials)
        prune(directory)
        counts["prunes"] += 1
    stop.set()
    for reader in readers:
        reader.join()
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory / "pruned")
    return counts
