"""Initializers: laws for one tensor, and what makes them initializers of a model."""

from initsuite.init.adapters import Lora, Pissa, principal_factors
from initsuite.init.asymmetric import Asymmetric
from initsuite.init.autoinit import AutoInit
from initsuite.init.base.compose import PerTensor, as_initializer
from initsuite.init.constant import Constant
from initsuite.init.critical import Critical
from initsuite.init.data_dependent import DataDependent
from initsuite.init.depth_mup import DepthMup
from initsuite.init.depth_scaled import DsInit, LmDepth, Mitchell
from initsuite.init.diagonal_states import LruRing, S4dReal
from initsuite.init.distributions import Normal, TruncatedNormal, Uniform
from initsuite.init.everywhere import NormalEverywhere, Zero
from initsuite.init.focal_prior import FocalPrior
from initsuite.init.gate_biases import Chrono, ForgetBias
from initsuite.init.gradinit import GradInit
from initsuite.init.guideline import Guideline
from initsuite.init.icnr import Icnr, IcnrKernel
from initsuite.init.identity import Identity, Irnn
from initsuite.init.identity_like import IdInit, TanhInit, ZeroHadamard
from initsuite.init.isometric import Isometric
from initsuite.init.kan_power import KanPower
from initsuite.init.kumar import Kumar
from initsuite.init.library_defaults import FlaxDefault, KerasDefault
from initsuite.init.lsuv import Lsuv
from initsuite.init.metainit import MetaInit
from initsuite.init.mimetic import Mimetic
from initsuite.init.mup import Mup
from initsuite.init.orthogonal import DeltaOrthogonal, Orthogonal
from initsuite.init.random_biases import RandomBiases
from initsuite.init.random_walk import RandomWalk
from initsuite.init.residual import BranchScale, Fixup, StableResnet, ZeroGamma
from initsuite.init.sinusoidal import Sinusoidal
from initsuite.init.siren import Siren
from initsuite.init.small_branches import LayerScale, ZeroClosing
from initsuite.init.small_init import SmallGamma, SmallInit
from initsuite.init.sparse import Sparse
from initsuite.init.spectral import Spectral, SpectralNormal
from initsuite.init.sub_ln import SubLn
from initsuite.init.torch_default import TorchDefault
from initsuite.init.transformer import DeepNorm, Gpt2, TFixup
from initsuite.init.variance_scaling import VarianceScaling

__all__ = [
    "Asymmetric", "AutoInit", "BranchScale", "Chrono", "Constant", "Critical", "DataDependent", "DeepNorm",
    "DeltaOrthogonal", "DepthMup", "DsInit", "Fixup", "FlaxDefault", "FocalPrior", "ForgetBias", "Gpt2", "GradInit",
    "Guideline", "Icnr", "IcnrKernel", "IdInit", "Identity", "Irnn", "Isometric", "KanPower", "KerasDefault", "Kumar",
    "LayerScale", "LmDepth", "Lora", "LruRing", "Lsuv", "MetaInit", "Mimetic", "Mitchell", "Mup", "Normal",
    "NormalEverywhere", "Orthogonal", "PerTensor", "Pissa", "RandomBiases", "RandomWalk", "S4dReal", "Sinusoidal",
    "Siren", "SmallGamma", "SmallInit", "Sparse", "Spectral", "SpectralNormal", "StableResnet", "SubLn", "TFixup",
    "TanhInit", "TorchDefault", "TruncatedNormal", "Uniform", "VarianceScaling", "Zero", "ZeroClosing", "ZeroGamma",
    "ZeroHadamard", "as_initializer", "principal_factors",
]  # fmt: skip
