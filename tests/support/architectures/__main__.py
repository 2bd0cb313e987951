"""The table of all architectures, or of those whose name holds one of the arguments, with what is not right."""

from __future__ import annotations

import sys
import warnings

from support.architectures import GROUPS, architectures
from support.verdicts import Verdict, judge, summary

warnings.simplefilter("ignore")
wanted = sys.argv[1:]
verdicts: dict[str, Verdict] = {}
for group in GROUPS:
    for name, architecture in architectures(group).items():
        if not wanted or any(part in name for part in wanted):
            verdicts[name] = judge(architecture)
            for line in verdicts[name].why:
                print(f"{name}: {line}", flush=True)
print(summary(verdicts))
