"""Counts the parameters of real models, made without memory on torch's meta device: parameter_counts_golden.json.

    python test/golden/make_parameter_counts.py

The sizes are those of the released checkpoints' config.json files, in the flat layout in which the hub has them, and
of small ones that differ in every number.
"""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig, Qwen2VLConfig

TOWER = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "in_chans": 3}


def released(
    hidden: int, intermediate: int, layers: int, heads: int, keys: int, vocabulary: int, tied: bool, wide: int
) -> dict[str, Any]:
    """A flat config.json of Qwen2.5-VL."""
    return {
        "model_type": "qwen2_5_vl",
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "vocab_size": vocabulary,
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        "vision_config": {**TOWER, "intermediate_size": wide, "out_hidden_size": hidden, "patch_size": 14},
    }


CONFIGS: dict[str, dict[str, Any]] = {
    "Qwen2.5-VL-3B": released(2048, 11008, 36, 16, 2, 151_936, True, 3420),
    "Qwen2.5-VL-7B": released(3584, 18944, 28, 28, 4, 152_064, False, 3420),
    "Qwen2.5-VL-32B": released(5120, 27648, 64, 40, 8, 152_064, False, 3456),
    "Qwen2.5-VL-72B": released(8192, 29568, 80, 64, 8, 152_064, False, 3456),
    "Qwen2-VL, small": {
        "model_type": "qwen2_vl",
        "text_config": {
            "hidden_size": 96,
            "intermediate_size": 200,
            "num_hidden_layers": 3,
            "num_attention_heads": 6,
            "num_key_value_heads": 3,
            "vocab_size": 500,
        },
        "tie_word_embeddings": False,
        "vision_config": {"depth": 2, "embed_dim": 48, "hidden_size": 96, "mlp_ratio": 3, "num_heads": 4},
    },
    "Qwen2.5-VL, small, tied": {
        "model_type": "qwen2_5_vl",
        "text_config": {
            "hidden_size": 64,
            "intermediate_size": 160,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 300,
        },
        "tie_word_embeddings": True,
        "vision_config": {
            "depth": 3,
            "hidden_size": 40,
            "intermediate_size": 90,
            "num_heads": 4,
            "out_hidden_size": 64,
            "patch_size": 7,
            "spatial_merge_size": 3,
            "temporal_patch_size": 1,
        },
    },
}


def count(config: dict[str, Any]) -> dict[str, Any]:
    """Parameters of the model, tied ones once, by part and by linear layer of the language model."""
    kind = Qwen2_5_VLConfig if config["model_type"] == "qwen2_5_vl" else Qwen2VLConfig
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(kind.from_dict(config))
    model.tie_weights()
    products = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv3d))
        for parameter in module.parameters(recurse=False)
    }
    embedding = model.get_input_embeddings().weight
    parts = {"embedding": 0, "head": 0, "text_products": 0, "text_others": 0, "vision_products": 0, "vision_others": 0}
    for name, parameter in model.named_parameters():
        part = "vision" if ".visual." in name else "text"
        kind_of = "products" if id(parameter) in products else "others"
        key = "embedding" if parameter is embedding else "head" if "lm_head" in name else f"{part}_{kind_of}"
        parts[key] += parameter.numel()
    linears: dict[str, list[int]] = {}
    for name, module in model.named_modules():
        if ".language_model.layers.0." in name and isinstance(module, torch.nn.Linear):
            linears[name.rsplit(".", 1)[1]] = [module.in_features, module.out_features]
    return {
        "config": config,
        "total": sum(parameter.numel() for parameter in model.parameters()),
        **parts,
        "text_layer": sum(one.numel() for one in model.model.language_model.layers[0].parameters()),
        "vision_layer": sum(one.numel() for one in model.model.visual.blocks[0].parameters()),
        "linears": linears,
    }


if __name__ == "__main__":
    golden = {name: count(config) for name, config in CONFIGS.items()}
    out = Path(__file__).with_name("parameter_counts_golden.json")
    out.write_text(json.dumps(golden, indent=2) + "\n", encoding="utf-8")
