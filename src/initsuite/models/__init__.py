"""Models, built from layers that `describe` knows."""

from initsuite.models.cnn import Cnn
from initsuite.models.mlp import Mlp
from initsuite.models.rnn import Rnn

__all__ = ["Cnn", "Mlp", "Rnn"]
