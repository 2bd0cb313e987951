"""What breaks the suite: bad arguments, damaged files, readers beside a prune, kills and odd W&B servers: `--help`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults import bad_inputs, damages, forks, kills, servers


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 where everything went as it should, 1 where something did not."""
    parser = argparse.ArgumentParser(
        prog="python scripts/faults",
        description="Try to break the suite, and count what happens. Each part may be run alone; all take hours on "
        "two cores, almost all of it for the bad inputs and the kills.",
    )
    parts = {
        "inputs": _inputs,
        "bits": _bits,
        "damages": _damages,
        "prunes": _prunes,
        "kills": _kills,
        "servers": _servers,
    }
    parser.add_argument("part", nargs="*", choices=[*parts, []], help="which part (default: all)")
    parser.add_argument("--group", action="append", help="only the bad inputs of this group; may be repeated")
    parser.add_argument("--kind", action="append", choices=kills.KINDS, help="kill only this; may be repeated")
    for name, default, what in (
        ("at-once", 2, "commands at once"),
        ("number", 200, "damages of each kind of file"),
        ("stride", 1, "flip the bits of each Nth byte"),
        ("kills", 100, "kills at random moments"),
        ("trials", 16, "trials of a sweep in which something is killed"),
        ("steps", 400, "steps of each of them"),
        ("seed", 0, "draws the moments of the kills"),
        ("first", 0, "go on from this input, kill or server, counted from 0"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{what} (default: {default})")
    parser.add_argument("--alone", action="store_true", help="each bad input in an interpreter of its own, not a fork")
    options = parser.parse_args(arguments)
    wrong = 0
    for name in options.part or parts:
        # SLURM's daemons may still write while they end
        with tempfile.TemporaryDirectory(prefix="initsuite-faults-", ignore_cleanup_errors=True) as folder:
            wrong += parts[name](Path(folder), options)
    print("Everything went as it should." if not wrong else f"{wrong} went wrong.")
    return 1 if wrong else 0


def _inputs(folder: Path, options: argparse.Namespace) -> int:
    chosen = [one for one in bad_inputs.inputs() if not options.group or one.group in options.group][options.first :]
    run = bad_inputs.run_alone if options.alone else forks.run_forked
    counts: Counter[str] = Counter()
    wrong = 0
    for index, outcome in enumerate(bad_inputs.outcomes(chosen, folder, options.at_once, run), options.first):
        counts[outcome.kind] += 1
        if not outcome.is_good:
            wrong += 1
            last = "".join(outcome.shown.strip().splitlines()[-1:])
            what = f"{outcome.kind}, expected {outcome.input.expected}"
            print(f"\r  {index}: {what}: {outcome.input.arguments[:90]}  {last[:100]}")
        print(f"\r{index} after {outcome.took_s:.0f} s", end="", flush=True)
    print(f"\rBad inputs: {len(chosen)} tried, {_listed(counts)}")
    return wrong


def _store(folder: Path) -> Path:
    return damages.with_leases(damages.plant(folder / "store"))


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in counts.most_common())


def _bits(folder: Path, options: argparse.Namespace) -> int:
    wrong = 0
    for found in damages.flipped_bits(_store(folder), options.stride):
        print(f"Flipped bits, {found.kind}: {found.noticed:,} of {found.tried:,} noticed")
        wrong += found.tried - found.noticed
    return wrong


def _damages(folder: Path, options: argparse.Namespace) -> int:
    counts: dict[str, Counter[str]] = {}
    for kind, damage, became in damages.damaged_files(_store(folder), options.number):
        counts.setdefault(kind, Counter())[became if became == "survived" else f"{became} ({damage})"] += 1
    for kind, found in counts.items():
        print(f"Damages of {kind}: {_listed(found)}")
    return sum(number for found in counts.values() for became, number in found.items() if became != "survived")


def _prunes(folder: Path, options: argparse.Namespace) -> int:
    counts = damages.reads_beside_prunes(damages.plant(folder / "store", num_parts=40), 22)
    print(f"Beside {counts['prunes']} prunes: {counts['short']} of {counts['reads']} reads were short")
    return counts["short"]


def _kills(folder: Path, options: argparse.Namespace) -> int:
    counts: dict[str, Counter[str]] = {}
    sweep = kills.Sweep(folder, options.trials, options.steps)
    which = range(options.first, options.kills)
    for one in kills.outcomes(sweep, which, options.seed, options.kind or list(kills.KINDS), print):
        outcome = "; ".join(one.problems) or "as if nothing had happened"
        counts.setdefault(one.kind, Counter())[outcome] += 1
        print(f"  {one.kind}, {one.moment}: {one.victim or 'nothing left to kill'}: {outcome}", flush=True)
    for kind, found in counts.items():
        print(f"Kills of a {kind}: {_listed(found)}")
    return sum(number for found in counts.values() for what, number in found.items() if not what.startswith("as if"))


def _servers(folder: Path, options: argparse.Namespace) -> int:
    counts: Counter[str] = Counter()
    for number, one in enumerate(servers.outcomes(folder, slice(options.first, None)), options.first):
        counts["; ".join(one.problems) or "all stored, and uploaded later"] += 1
        print(f"  {number}: {one.behaviour}: {'; '.join(one.problems) or 'all stored, and uploaded later'}", flush=True)
    print(f"Servers that misbehave: {sum(counts.values())}: {_listed(counts)}")
    return sum(counts.values()) - counts["all stored, and uploaded later"]


if __name__ == "__main__":
    sys.exit(main())
