"""Two planted stores that tests put side by side."""

from __future__ import annotations

import pandas as pd

from initsuite.report.pair.side_by_side import SideBySide, side_by_side
from initsuite.report.verdicts.recommendations import build_report
from initsuite.results.store import Store
from support.planter import Planter

NAMES = ("laptop", "cluster")
FAST, SLOW = (tuple(start + 20 * (seed % 3) for seed in range(8)) for start in (100, 300))


def compared(stores: tuple[Store, Store]) -> SideBySide:
    first, second = (build_report(store.read()) for store in stores)
    return side_by_side(first, second, NAMES)


def only_context(stores: tuple[Store, Store]) -> pd.Series:
    pair = compared(stores)
    assert len(pair.contexts) == 1
    return pair.contexts.iloc[0]


def plant(store: Store, **arms: tuple[float, ...]) -> None:
    planter = Planter(store)
    for init, fates in arms.items():
        planter.arm(init, fates)
