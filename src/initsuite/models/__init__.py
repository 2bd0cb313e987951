"""Models, built from layers that `describe` knows.

Each is built from `input_shape`, the shape of one example without the batch axis; `num_outputs`, from 1; an activation;
and options of its own, by keyword. Its `label` names it in tables: `mlp-2x64`, `cnn-16-32-k5-s1`, `resnet-20-w32`.
"""

from initsuite.models.cnn import Cnn
from initsuite.models.mlp import Mlp
from initsuite.models.recurrent import Gru, Lstm, Rnn
from initsuite.models.residual_mlp import ResidualMlp
from initsuite.models.resnet import ResNet
from initsuite.models.siren import Siren
from initsuite.models.transformer import Transformer
from initsuite.models.vit import Vit
from initsuite.models.zoo import TorchvisionModel

__all__ = [
    "Cnn", "Gru", "Lstm", "Mlp", "ResNet", "ResidualMlp", "Rnn", "Siren", "TorchvisionModel", "Transformer", "Vit"
]  # fmt: skip
