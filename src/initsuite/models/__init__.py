"""Models, built from layers that `describe` knows."""

from initsuite.models.cnn import Cnn
from initsuite.models.mlp import Mlp

__all__ = ["Cnn", "Mlp"]
