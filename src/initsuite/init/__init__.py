"""Initializers: laws for one tensor, and what makes them initializers of a model."""

from initsuite.init.compose import PerTensor, as_initializer
from initsuite.init.constant import Constant
from initsuite.init.distributions import Normal
from initsuite.init.everywhere import NormalEverywhere, Zero
from initsuite.init.guideline import Guideline
from initsuite.init.orthogonal import Orthogonal
from initsuite.init.torch_default import TorchDefault
from initsuite.init.variance_scaling import VarianceScaling

__all__ = [
    "Constant",
    "Guideline",
    "Normal",
    "NormalEverywhere",
    "Orthogonal",
    "PerTensor",
    "TorchDefault",
    "VarianceScaling",
    "Zero",
    "as_initializer",
]
