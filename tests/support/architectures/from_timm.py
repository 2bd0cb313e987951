"""Small configurations of timm's models; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from initsuite.data.torchvision_import import import_torchvision
from support.truth import Architecture, Labels, parts, repeating

import_torchvision()  # before timm, which imports it
import timm  # noqa: E402
from timm.models import (  # noqa: E402  # noqa: E402  # noqa: E402
    beit,
    cait,
    convnext,
    deit,
    densenet,
    eva,
    metaformer,
    mlp_mixer,
    nest,
    pit,
    pvt_v2,
    regnet,
    res2net,
    resnet,
    swin_transformer,
    swin_transformer_v2,
    twins,
    vision_transformer,
    volo,
    xcit,
)

generator = torch.Generator().manual_seed(1)
SMALL, LARGE = torch.randn(2, 3, 32, 32, generator=generator), torch.randn(2, 3, 64, 64, generator=generator)
QKV = {"qkv.weight": parts(3)}
KV = {"kv.weight": parts(2)}
GATED = {"mlp.fc1.weight": parts(2)}
MAMBAOUT = {"fc1.weight": lambda outputs: parts(outputs // 2, outputs // 3, outputs // 6)(outputs)}
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 4, "num_classes": 10}


def small(build: Callable[..., nn.Module], packed: dict[str, Labels] | None = None, **options: object) -> Architecture:
    """A model of 32 x 32 pictures."""
    return Architecture(lambda: build(**{"num_classes": 10, **options}), (SMALL,), packed=packed or {})


def named(name: str, packed: dict[str, Labels] | None = None, **options: object) -> Architecture:
    """A model of 64 x 64 pictures from timm's registry."""
    return Architecture(
        lambda: timm.create_model(name, pretrained=False, num_classes=10, **options), (LARGE,), packed=packed or {}
    )


def regnet_small() -> nn.Module:
    return regnet.RegNet(regnet.RegNetCfg(depth=6, w0=24, wa=24.0, wm=2.0, group_size=8), num_classes=10)


FROM_TIMM: dict[str, Architecture] = {
    "timm resnet bottleneck": small(
        resnet.ResNet, block=resnet.Bottleneck, layers=(2, 1, 1, 1), channels=(8, 12, 16, 24), avg_down=True
    ),
    "timm regnet": Architecture(regnet_small, (LARGE,)),
    "timm densenet": small(densenet.DenseNet, growth_rate=8, block_config=(2, 2)),
    "timm efficientnet": named("test_efficientnet"),
    "timm mobilenetv3": named("mobilenetv3_small_050"),
    "timm byobnet": named("test_byobnet"),
    "timm nfnet": named("test_nfnet"),
    "timm mambaout": named("test_mambaout", MAMBAOUT),
    "timm ghostnet": named("ghostnet_050"),
    "timm res2net": small(
        resnet.ResNet, block=res2net.Bottle2neck, layers=(1, 1, 1, 1), channels=(16, 24, 32, 40), base_width=26
    ),
    "timm reparametrised": named("repghostnet_050"),
    "timm convnext": small(convnext.ConvNeXt, depths=(1, 1, 1, 1), dims=(16, 24, 32, 40)),
    "timm convnextv2": small(
        convnext.ConvNeXt, depths=(1, 1, 1, 1), dims=(16, 24, 32, 40), use_grn=True, ls_init_value=None
    ),
    "timm vit": small(vision_transformer.VisionTransformer, QKV, **VIT),
    "timm vit with layer scale and query norm": small(
        vision_transformer.VisionTransformer, QKV, **VIT, init_values=0.1, qk_norm=True, global_pool="avg"
    ),
    "timm deit": small(deit.VisionTransformerDistilled, QKV, **VIT),
    "timm beit": small(beit.Beit, QKV, **VIT, use_rel_pos_bias=True, init_values=0.1),
    "timm eva": small(
        eva.Eva, GATED, **VIT, swiglu_mlp=True, qkv_fused=False, use_rot_pos_emb=True, mlp_ratio=8 / 3
    ),
    "timm cait": small(cait.Cait, QKV, **VIT, depth_token_only=1),
    "timm xcit": small(xcit.Xcit, QKV, **VIT, cls_attn_layers=1),
    "timm swin": small(
        swin_transformer.SwinTransformer, QKV, img_size=32, patch_size=2, embed_dim=24, depths=(2, 2),
        num_heads=(2, 4), window_size=4,
    ),
    "timm swinv2": small(
        swin_transformer_v2.SwinTransformerV2, QKV, img_size=32, patch_size=2, embed_dim=24, depths=(2, 2),
        num_heads=(2, 4), window_size=4,
    ),
    "timm pvtv2": small(
        pvt_v2.PyramidVisionTransformerV2, KV, depths=(1, 1, 1, 1), embed_dims=(16, 24, 32, 48),
        num_heads=(1, 2, 2, 4), sr_ratios=(4, 2, 1, 1), mlp_ratios=(2, 2, 2, 2),
    ),
    "timm pit": small(
        pit.PoolingVisionTransformer, QKV, img_size=32, patch_size=4, stride=4, base_dims=(8, 8), depth=(1, 1),
        heads=(2, 4), mlp_ratio=2,
    ),
    "timm twins": small(
        twins.Twins, {**QKV, **KV}, img_size=32, embed_dims=(16, 32), depths=(2, 2), num_heads=(2, 4),
        mlp_ratios=(2, 2), sr_ratios=(2, 1), wss=(4, 4),
    ),
    "timm mixer": small(mlp_mixer.MlpMixer, img_size=32, patch_size=8, num_blocks=2, embed_dim=48),
    "timm gmlp": small(
        mlp_mixer.MlpMixer, {"fc1.weight": parts(2)}, img_size=32, patch_size=8, num_blocks=2, embed_dim=48,
        mlp_ratio=4, block_layer=mlp_mixer.SpatialGatingBlock, mlp_layer=mlp_mixer.GatedMlp,
    ),
    "timm resmlp": small(
        mlp_mixer.MlpMixer, img_size=32, patch_size=8, num_blocks=2, embed_dim=48, mlp_ratio=4,
        block_layer=mlp_mixer.ResBlock, norm_layer=mlp_mixer.Affine,
    ),
    "timm poolformer": small(metaformer.MetaFormer, depths=(1, 1, 1, 1), dims=(16, 24, 32, 40)),
    "timm nest": small(
        nest.Nest, QKV, img_size=32, patch_size=4, num_levels=2, embed_dims=(24, 48), num_heads=(2, 4), depths=(1, 1)
    ),
    "timm volo": small(
        volo.VOLO, {**QKV, **KV}, layers=(1, 1, 1, 1), img_size=32, patch_size=8, stem_hidden_dim=16,
        embed_dims=(24, 32, 32, 32), num_heads=(2, 4, 4, 4), mlp_ratio=2,
    ),
    "timm hiera": named("hiera_tiny_224", QKV, img_size=(64, 64), embed_dim=16, stages=(1, 1, 1, 1)),
    "timm levit": named(
        "levit_128s", {"qkv.linear.weight": repeating(16, 16, 32), "kv.linear.weight": repeating(16, 64)}, img_size=64,
        embed_dim=(32, 48, 64), num_heads=(2, 3, 4), depth=(1, 1, 1),
    ),
}  # fmt: skip
