#!/usr/bin/env python3
"""How fast stacks step on a GPU: python scripts/gpu_widths.py prints a table, and writes it with all raw times.

At each width, what trains the same trials on the same batches takes turns: a plain PyTorch loop with one model, the
engine as it is (eager), torch.compile of its step, and the whole step (batch, forward, backward, update) in one CUDA
graph. Inputs are random numbers of the shapes of the data sets: only speed is measured. The record of losses and the
evaluations are left out. Each width has a process of its own, so that a way that fails or hangs loses only itself.

References:
    Wang et al. 2021, Horizontally Fused Training Array, MLSys; 3.27x for six models: its tutorial on MNIST, section
    "Enable HFTA to train multiple models in the fused form" (UofT-EcoSystem/hfta, docs/HFTA_PyTorch_Tutorial.ipynb).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from gpu_arms import ARMS, FULL, PASSES, QUICK, WORKS, Request, Sizes, measure_cell

from initsuite.errors import bad_value, run_door, unknown_choice
from initsuite.provenance import provenance
from initsuite.stats.intervals import median_interval

HFTA = (
    "HFTA's tutorial reports 3.27x for six such models: 66.84 s an epoch one after another, 20.46 s together (on one "
    "Colab GPU, loading included; with dropout and Adadelta, in place of none and sgd here)."
)
TIME_UP = "not measured: the time was up"


@dataclass
class Bench:
    """The parent's side: the processes, the clock, and what is known so far, which is written after each sample.

    Attributes:
        limit_s: the longest silence of a process.
        deadline: on the clock of `time.monotonic`; what is not measured by then stays so.
        folder: where the table and the raw times go.
        result: plain values.
    """

    device: str
    sizes: Sizes
    limit_s: float
    deadline: float
    folder: Path
    result: dict[str, Any] = field(default_factory=dict)

    def measure(self, works: Sequence[str]) -> None:
        """All widths of these works, narrow ones first; then all of them again, with the compiler."""
        self.result = {"machine": _machine(self.device), "sizes": vars(self.sizes), "cells": []}
        for arms in PASSES:
            for work in works:
                for width in sorted({min(width, self.sizes.widest) for width in WORKS[work].widths}):
                    cell = {"work": work, "width": width, "own": arms[-1], "arms": {}, "failed": {}}
                    self.result["cells"].append(cell)
                    self._measure_cell(cell, arms)
                    self.write()

    def _measure_cell(self, cell: dict[str, Any], arms: Sequence[str]) -> None:
        """Start over without the arm that failed, until the others are through."""
        if self.device == "cpu" and "graph" in arms:
            cell["failed"]["graph"] = "skipped: a CUDA graph needs a GPU"
        while left := [arm for arm in arms if arm not in cell["failed"]]:
            if "compile" in cell["failed"]:
                return  # the others were measured in the first pass
            cell["arms"] = {}
            if time.monotonic() > self.deadline:
                cell["failed"] |= dict.fromkeys(left, TIME_UP)
                return
            failed = self._attempt(cell, Request(cell["work"], cell["width"], self.device, self.sizes, tuple(left)))
            if failed is None:
                return
            arm, reason = failed
            _say(f"{cell['work']}, width {cell['width']}, {arm or 'start'}: {reason}")
            cell["failed"] |= dict.fromkeys([arm] if arm else left, reason)

    def _attempt(self, cell: dict[str, Any], request: Request) -> tuple[str, str] | None:
        """Run one process to its end; returns the arm that failed ("" for the start), and why."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=measure_cell, args=(theirs, request))
        process.start()
        theirs.close()
        try:
            return self._listen(cell, ours)
        finally:
            process.kill()
            process.join()

    def _listen(self, cell: dict[str, Any], connection: Connection) -> tuple[str, str] | None:
        doing = ""
        while True:
            left_s = self.deadline - time.monotonic()
            if not connection.poll(max(0.0, min(self.limit_s, left_s))):
                return doing, f"no answer within {self.limit_s:.3g} s" if left_s > self.limit_s else TIME_UP
            try:
                what, doing, detail = connection.recv()
            except EOFError:
                return doing, "its process ended without a message"
            if what == "done":
                return None
            if what == "failed":
                return doing, detail
            if what == "prepared":
                cell["arms"][doing] = {**detail, "ms": []}
                _say(f"{cell['work']}, width {cell['width']}, {doing}: ready in {detail['prepared_s']:.1f} s")
            elif what == "sample":
                cell["arms"][doing]["ms"].append(detail)
                self.write()

    def write(self) -> None:
        """Write what is known."""
        (self.folder / "gpu_widths.json").write_text(json.dumps(self.result, indent=2) + "\n")
        (self.folder / "gpu_widths.md").write_text(markdown(self.result))


def markdown(result: Mapping[str, Any]) -> str:
    """The machine and the table."""
    machine = result["machine"]
    lines = [
        "# Widths on a GPU",
        "",
        ", ".join(f"{name} {value}" for name, value in machine.items()),
        "",
        "Medians, with the 95 % interval of the median over samples taken in turn where there are six or more. Ratios "
        "compare neighbouring samples: with a plain PyTorch loop that trains one model at a time, per trial, and with "
        "the eager engine at the same width. Random inputs; no evaluation and no record of losses.",
        "",
        "| work | width | arm | ms per step | µs per step and trial | plain loop | eager | peak memory | remarks |",
        "|---|---|---|---|---|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for cell in result["cells"] for row in rows(cell)),
    ]
    if any(cell["work"] == "mnist-cnn" for cell in result["cells"]):
        lines += ["", HFTA]
    return "\n".join(lines) + "\n"


def rows(cell: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The lines of one width; of those with the compiler only its own, as the others have theirs."""
    work, width = WORKS[cell["work"]].words, cell["width"]
    for name in ARMS if cell["own"] != "compile" else ["compile"]:
        arm, reason = cell["arms"].get(name, {"ms": []}), cell["failed"].get(name)
        trials = 1 if name == "plain" else width
        if reason:
            yield work, str(trials), name, *["-"] * 5, reason.replace("|", "/")
        elif arm["ms"]:
            step_ms = median_interval(arm["ms"]).estimate
            numbers = f"{step_ms:.3g}", f"{1000 * step_ms / trials:.3g}"
            ratios = [_ratio(cell, other, name, trials) if other != name else "-" for other in ("plain", "eager")]
            peak = "-" if arm["peak_bytes"] is None else f"{arm['peak_bytes'] / 2**20:,.0f} MiB"
            agrees = {True: "", False: "ITS LOSSES DIFFER", None: "losses not compared"}[arm["agrees"]]
            yield (
                work,
                str(trials),
                name,
                *numbers,
                *ratios,
                peak,
                ", ".join(filter(None, [agrees, arm["note"]])) or "-",
            )


def _ratio(cell: Mapping[str, Any], other: str, name: str, trials: int) -> str:
    """How many times as fast per trial as another arm, sample by sample; the engine's trials are those of the cell."""
    theirs = cell["arms"].get(other, {"ms": []})["ms"]
    per_trial = trials if other == "plain" else trials / cell["width"]
    ratios = [per_trial * there / here for there, here in zip(theirs, cell["arms"][name]["ms"], strict=False)]
    if not ratios:
        return "-"
    found = median_interval(ratios)
    bounds = f" ({found.low:.3g}x to {found.high:.3g}x)" if found.exists else ""
    return f"{found.estimate:.3g}x{bounds}"


def _machine(device: str) -> dict[str, Any]:
    known = provenance()
    is_cuda = device != "cpu"
    return {
        "device": torch.cuda.get_device_name(device) if is_cuda else platform.processor() or platform.machine(),
        "torch": known["torch_version"],
        "CUDA": torch.version.cuda or "none",
        "cuDNN": torch.backends.cudnn.version() or "none",
        "Python": platform.python_version(),
        "TF32 in convolutions": is_cuda and torch.backends.cudnn.allow_tf32,
        "code": f"{known['commit'][:12]}{' with changes' * known['dirty']}",
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _run(options: argparse.Namespace) -> None:
    for name in options.only or ():
        if name not in WORKS:
            raise unknown_choice("gpu_widths", "only", name, WORKS)
    works = [name for name in WORKS if name in (options.only or WORKS)]
    if options.device != "cpu" and not torch.cuda.is_available():
        widths = "; ".join(f"{WORKS[name].words}: {', '.join(map(str, WORKS[name].widths))}" for name in works)
        print(
            f"gpu_widths: no GPU is at hand, so nothing is measured. With one: {', '.join(ARMS)} at widths of {widths}."
        )
        return
    folder = Path(options.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise bad_value("gpu_widths", "output", options.output, f"a folder to write to ({error})") from error
    sizes, deadline = QUICK if options.quick else FULL, time.monotonic() + options.minutes * 60
    bench = Bench(options.device, sizes, options.limit_s, deadline, folder)
    bench.measure(works)
    print(markdown(bench.result))
    print(f"Written: {folder / 'gpu_widths.md'}, {folder / 'gpu_widths.json'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code, which is 0 without a GPU too."""
    parser = argparse.ArgumentParser(prog="python scripts/gpu_widths.py", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: all but the CUDA graphs")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, which say nothing about speed")
    parser.add_argument("--only", metavar="WORK", action="append", help=f"may be repeated: {', '.join(WORKS)}")
    parser.add_argument("--output", metavar="DIR", default="results/gpu_widths", help="folder for Markdown and JSON")
    parser.add_argument("--minutes", type=float, default=9.0, help="what is not measured by then is left out")
    parser.add_argument("--limit-s", type=float, default=120.0, help="longest silence of an arm, seconds")
    return run_door(parser, _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
