"""Small configurations of torchvision's models; nothing is downloaded."""

from __future__ import annotations

import torch

from initsuite.data.torchvision_import import import_torchvision
from support.truth import Architecture, parts

models = import_torchvision().models
generator = torch.Generator().manual_seed(4)
SMALL, LARGE = torch.randn(2, 3, 32, 32, generator=generator), torch.randn(2, 3, 64, 64, generator=generator)
PACKED = {"in_proj_weight": parts(3), "qkv.weight": parts(3)}
FROM_TORCHVISION: dict[str, Architecture] = {
    "torchvision shufflenet": Architecture(lambda: models.shufflenet_v2_x0_5(num_classes=10), (LARGE,)),
    "torchvision mnasnet": Architecture(lambda: models.MNASNet(0.25, num_classes=10), (LARGE,)),
    "torchvision densenet": Architecture(
        lambda: models.DenseNet(8, (2, 2), num_init_features=16, num_classes=10), (SMALL,)
    ),
    "torchvision vit": Architecture(
        lambda: models.VisionTransformer(32, 8, 2, 4, 48, 96, num_classes=10), (SMALL,), packed=PACKED
    ),
    "torchvision swin": Architecture(
        lambda: models.SwinTransformer([2, 2], 24, [2, 2], [2, 4], [4, 4], num_classes=10), (SMALL,), packed=PACKED
    ),
    "torchvision squeezenet": Architecture(lambda: models.SqueezeNet("1_1", num_classes=10), (LARGE,)),
}
