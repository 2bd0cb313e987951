"""Small configurations of the models of transformers; nothing is downloaded."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from initsuite.data.torchvision_import import import_torchvision
from support.truth import Architecture, Labels, parts, repeating

import_torchvision()  # before transformers, which imports it
import transformers  # noqa: E402

generator = torch.Generator().manual_seed(2)
TOKENS = torch.randint(3, 96, (4, 16), generator=generator)
PICTURES = torch.randn(2, 3, 32, 32, generator=generator)
SOUND, SPECTRUM = torch.randn(2, 800, generator=generator), torch.randn(2, 16, 40, generator=generator)
SIZES = {"vocab_size": 96, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
WIDE = {**SIZES, "intermediate_size": 96, "max_position_embeddings": 32}
GROUPED = {**WIDE, "num_key_value_heads": 2, "head_dim": 12, "pad_token_id": 0}
VISION = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
          "image_size": 32, "patch_size": 8}  # fmt: skip
EXPERTS = {"gate_up_proj": parts(2)}


def model(family: str, kind: str, packed: dict[str, Labels] | None = None, **options: Any) -> Architecture:
    """`kind` of a family, such as CausalLM of Llama, on tokens."""
    return _model(family, kind, {"input_ids": TOKENS}, packed, options)


def vision(family: str, kind: str = "Model", packed: dict[str, Labels] | None = None, **options: Any) -> Architecture:
    return _model(family, kind, {"pixel_values": PICTURES}, packed, options)


def _model(
    family: str, kind: str, inputs: dict[str, Any], packed: dict[str, Labels] | None, options: dict[str, Any]
) -> Architecture:
    def build() -> nn.Module:
        config = getattr(transformers, f"{family}Config")(**options)
        return getattr(transformers, f"{family}{kind}")(config)

    return Architecture(build, kwargs={**inputs, "return_dict": True}, packed=packed or {})


def _both(family: str, kind: str, **options: Any) -> Architecture:
    """An encoder and a decoder on tokens."""
    return _model(family, kind, {"input_ids": TOKENS, "decoder_input_ids": TOKENS[:, :8]}, None, options)


BART = {"vocab_size": 96, "d_model": 48, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96, "max_position_embeddings": 32,
        "pad_token_id": 1}  # fmt: skip
T5 = {"vocab_size": 96, "d_model": 48, "d_kv": 12, "d_ff": 96, "num_layers": 2, "num_heads": 4}
FROM_TRANSFORMERS: dict[str, Architecture] = {
    "gpt2": model(
        "GPT2", "LMHeadModel", {"c_attn.weight": parts(3)}, vocab_size=96,
        n_embd=48, n_layer=2, n_head=4, n_positions=32
    ),
    "gpt neo": model(
        "GPTNeo", "ForCausalLM", vocab_size=96, hidden_size=48, num_layers=2, num_heads=4,
        attention_types=[[["global", "local"], 1]], max_position_embeddings=32, window_size=8,
    ),
    "gpt neox": model("GPTNeoX", "ForCausalLM", {"query_key_value.weight": repeating(12, 12, 12)}, **WIDE),
    "gptj": model("GPTJ", "ForCausalLM", vocab_size=96, n_embd=48, n_layer=2, n_head=4, n_positions=32, rotary_dim=8),
    "bloom": model("Bloom", "ForCausalLM", {"query_key_value.weight": repeating(12, 12, 12)}, **SIZES),
    "falcon": model(
        "Falcon", "ForCausalLM", {"query_key_value.weight": parts(48, 12, 12)}, **SIZES, multi_query=True,
        new_decoder_architecture=False,
    ),
    "mpt": model(
        "Mpt", "ForCausalLM", {"Wqkv.weight": parts(3)}, vocab_size=96, d_model=48, n_heads=4, n_layers=2,
        max_seq_len=32,
    ),
    "opt": model(
        "OPT", "ForCausalLM", vocab_size=96, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, ffn_dim=96,
        max_position_embeddings=32, word_embed_proj_dim=48, pad_token_id=1,
    ),
    "llama": model("Llama", "ForCausalLM", **GROUPED),
    "gemma2": model("Gemma2", "ForCausalLM", **GROUPED),
    "qwen3": model("Qwen3", "ForCausalLM", **GROUPED),
    "phi3": model(
        "Phi3", "ForCausalLM", {"qkv_proj.weight": parts(48, 24, 24), "gate_up_proj.weight": parts(2)}, **GROUPED
    ),
    "mixtral": model("Mixtral", "ForCausalLM", EXPERTS, **GROUPED, num_local_experts=4, num_experts_per_tok=2),
    "olmoe": model("Olmoe", "ForCausalLM", EXPERTS, **GROUPED, num_experts=4, num_experts_per_tok=2),
    "mamba": model(
        "Mamba", "ForCausalLM", {"in_proj.weight": parts(2), "x_proj.weight": parts(3, 8, 8)}, vocab_size=96,
        hidden_size=48, num_hidden_layers=2, state_size=8,
    ),
    "mamba2": model(
        "Mamba2", "ForCausalLM", {"in_proj.weight": parts(96, 112, 8)}, vocab_size=96, hidden_size=48,
        num_hidden_layers=2, state_size=8, num_heads=8, head_dim=12, n_groups=1, chunk_size=8,
    ),
    "rwkv": model(
        "Rwkv", "ForCausalLM", vocab_size=96, hidden_size=48, num_hidden_layers=2, attention_hidden_size=48,
        context_length=32,
    ),
    "bert": model("Bert", "ForMaskedLM", **WIDE),
    "bert with a pooler": model("Bert", "ForSequenceClassification", **WIDE),
    "roberta": model("Roberta", "ForMaskedLM", **{**WIDE, "max_position_embeddings": 40}),
    "albert": model("Albert", "ForMaskedLM", **WIDE, embedding_size=24),
    "electra": model("Electra", "ForPreTraining", **WIDE, embedding_size=24),
    "distilbert": model(
        "DistilBert", "ForMaskedLM", vocab_size=96, dim=48, n_layers=2, n_heads=4, hidden_dim=96,
        max_position_embeddings=32,
    ),
    "deberta": model(
        "DebertaV2", "ForMaskedLM", **WIDE, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8,
        share_att_key=True,
    ),
    "modernbert": model(
        "ModernBert", "ForMaskedLM", {"Wqkv.weight": parts(3), "Wi.weight": parts(2)}, **WIDE, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    ),
    "xlnet": model("XLNet", "LMHeadModel", vocab_size=96, d_model=48, n_layer=2, n_head=4, d_inner=96),
    "longformer": model("Longformer", "ForMaskedLM", **{**WIDE, "max_position_embeddings": 40}, attention_window=8),
    "switch transformer": _both(
        "SwitchTransformers", "ForConditionalGeneration", **T5, num_experts=4, num_sparse_encoder_layers=1,
        num_sparse_decoder_layers=1,
    ),
    "t5": _both("T5", "ForConditionalGeneration", **T5),
    "t5 gated": _both(
        "T5", "ForConditionalGeneration", **T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False
    ),
    "bart": _both("Bart", "ForConditionalGeneration", **BART),
    "whisper": _model(
        "Whisper", "ForConditionalGeneration", {"input_features": SPECTRUM, "decoder_input_ids": TOKENS[:2, :8]}, None,
        {**{key: value for key, value in BART.items() if key != "max_position_embeddings"}, "num_mel_bins": 16,
         "max_source_positions": 20, "max_target_positions": 32, "decoder_start_token_id": 1, "bos_token_id": 1,
         "eos_token_id": 2},
    ),
    "wav2vec2": _model(
        "Wav2Vec2", "ForCTC", {"input_values": SOUND}, None,
        {**{key: value for key, value in WIDE.items() if key != "max_position_embeddings"}, "conv_dim": (16, 24, 32),
         "conv_stride": (5, 2, 2), "conv_kernel": (10, 3, 3), "num_conv_pos_embeddings": 8,
         "num_conv_pos_embedding_groups": 4, "num_feat_extract_layers": 3},
    ),
    "hf vit": vision("ViT", "ForImageClassification", **VISION, num_labels=7),
    "dinov2 with swiglu": vision("Dinov2", "Model", {"weights_in.weight": parts(2)}, **VISION, use_swiglu_ffn=True),
    "vit mae": vision(
        "ViTMAE", "Model", **VISION, decoder_hidden_size=32, decoder_num_hidden_layers=1,
        decoder_num_attention_heads=4, decoder_intermediate_size=64,
    ),
    "segformer": vision(
        "Segformer", "ForSemanticSegmentation", num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1],
        hidden_sizes=[16, 32], patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[2, 4], mlp_ratios=[2, 2],
        decoder_hidden_size=24, num_labels=5,
    ),
    "hf convnext": vision("ConvNext", "ForImageClassification", hidden_sizes=[16, 24, 32, 40], depths=[1, 1, 1, 1]),
    "clip": _model(
        "CLIP", "Model", {"input_ids": TOKENS, "pixel_values": PICTURES}, None,
        {"text_config": {**WIDE, "projection_dim": 24, "eos_token_id": 2},
         "vision_config": {**VISION, "projection_dim": 24},
         "projection_dim": 24},
    ),
}  # fmt: skip
