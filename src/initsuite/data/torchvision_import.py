"""Importing torchvision where its wheel and torch's do not match."""

from __future__ import annotations

import importlib
from types import ModuleType

SYMPTOM = "operator torchvision::nms does not exist"
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
"""The signature of both detection operators, as in torchvision/csrc/ops/nms.cpp."""


def import_torchvision() -> ModuleType:
    """torchvision, even where a CUDA build of it stands beside a CPU torch.

    The registry's torchvision is built for CUDA. Beside a CPU torch its compiled library does not load, and
    registering the meta kernels of two detection operators fails. Declaring these two first lets the rest (data sets,
    transforms, models) work; the operators themselves stay without a kernel. Nothing is declared where the import
    works. To be removed when torchvision no longer registers kernels of operators that did not load.

    Raises:
        ImportError, RuntimeError: torchvision is missing, or broken in another way.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if SYMPTOM not in str(error):
            raise
    import torch

    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", SCHEMA)
    return importlib.import_module("torchvision")
