"""initsuite: which weight initializer for this model, activation and data set, and how sure are we?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initsuite.apply.comparison import compare
    from initsuite.apply.diagnosis import assert_healthy, diagnose
    from initsuite.apply.initialize import initialize_
    from initsuite.apply.prescription import prescribe
    from initsuite.config.catalogue import initializers
    from initsuite.report.answer import recommend
    from initsuite.results.sources import load_results
    from initsuite.train.launch import plan

    __version__: str

__all__ = [
    "assert_healthy",
    "compare",
    "diagnose",
    "initialize_",
    "initializers",
    "load_results",
    "plan",
    "prescribe",
    "recommend",
]

_HOMES = {
    "assert_healthy": "initsuite.apply.diagnosis",
    "compare": "initsuite.apply.comparison",
    "diagnose": "initsuite.apply.diagnosis",
    "initialize_": "initsuite.apply.initialize",
    "initializers": "initsuite.config.catalogue",
    "load_results": "initsuite.results.sources",
    "plan": "initsuite.train.launch",
    "prescribe": "initsuite.apply.prescription",
    "recommend": "initsuite.report.answer",
}
"""Public names by their module, imported on first use: reading results must not import torch."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("initsuite.provenance").package_version()
    if name not in _HOMES:
        raise AttributeError(f"module 'initsuite' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, "__version__"])
