"""Models, built from layers that `describe` knows."""

from initsuite.models.cnn import Cnn
from initsuite.models.mlp import Mlp
from initsuite.models.recurrent import Gru, Lstm, Rnn
from initsuite.models.resnet import ResNet
from initsuite.models.siren import Siren
from initsuite.models.transformer import Transformer
from initsuite.models.vit import Vit
from initsuite.models.zoo import TorchvisionModel

__all__ = ["Cnn", "Gru", "Lstm", "Mlp", "ResNet", "Rnn", "Siren", "TorchvisionModel", "Transformer", "Vit"]
