"""The plain parameters of every verb (docs/protocol.md section 3), as tables for `arguments.read`."""

from __future__ import annotations

from . import losses
from .arguments import Table, anything, choice, flag, integer, list_of, number, optional, record, text
from .optim import ADAMW, OPTIMIZERS
from .strategies import STRATEGIES

_SMALLEST = 1e-6
"""A temperature below this one overflows float32."""

_LARGEST_BETA = 1 - 1e-9

_IMAGES_OF_PROMPTS = {"images": list_of(list_of(text))}

CHECK_FOLDER: Table = {"folder": text, "name": text, "token": text}

LOAD: Table = {
    "model": text,
    "revision": optional(text),
    "device": text,
    "torch_dtype": choice("auto", "float32", "bfloat16"),
    "train": flag,
    "reference": flag,
    "attention": choice("auto", "sdpa", "eager", "flash_attention_2"),
    "gradient_checkpointing": flag,
    "activation_offloading": optional(flag, False),
    "freeze_vision": flag,
    "optimizer": record(
        {
            "optim": optional(choice(*OPTIMIZERS), ADAMW),
            "beta1": number(0, _LARGEST_BETA),
            "beta2": number(0, _LARGEST_BETA),
            "epsilon": number(0),
            "weight_decay": number(0),
            "vision_rate": optional(number(0), 1.0),
        }
    ),
    "lora": optional(
        record(
            {
                "seed": integer(0),
                "r": optional(integer(1)),
                "alpha": optional(integer(1)),
                "dropout": optional(number(0, _LARGEST_BETA)),
                "target_modules": optional(list_of(text)),
                "use_rslora": optional(flag),
                "use_dora": optional(flag),
            }
        )
    ),
    "four_bit": optional(flag, False),
    "strategy": choice(*STRATEGIES),
    "deepspeed": optional(anything),
    "gather_for_generation": optional(flag, True),
    "ranks": optional(
        record({"rank": integer(0), "world_size": integer(1), "rendezvous": optional(text), "timeout": number(0)}),
    ),
    "image_cache_bytes": integer(1),
    "allowed_roots": list_of(text),
    "threads": integer(0),
    "min_pixels": optional(integer(1)),
    "max_pixels": optional(integer(1)),
    "deterministic": flag,
}

IMAGES: Table = {
    "images": list_of(
        record(
            {
                "key": text,
                "hash": text,
                "height": integer(1),
                "width": integer(1),
                "target_height": integer(1),
                "target_width": integer(1),
            }
        )
    ),
    "step": optional(integer(0)),
    "release_before": optional(integer(-1)),
}

ENCODE: Table = {
    "prompts": list_of(
        record(
            {
                "messages": list_of(record({"role": text, "content": anything})),
                "images": list_of(list_of(integer(1))),
                "prefill": optional(anything),
            }
        )
    )
}

NOTHING: Table = {}

TOKENIZE: Table = {"append_eos": flag}

GENERATE: Table = {
    **_IMAGES_OF_PROMPTS,
    "policy_version": integer(0),
    "samples": integer(1),
    "attempt": optional(integer(0), 0),
    "temperature": number(0),
    "top_p": number(0, 1),
    "top_k": integer(0),
    "min_p": number(0, 1),
    "repetition_penalty": number(0),
    "max_new_tokens": integer(1),
}

LOGPROBS: Table = {
    **_IMAGES_OF_PROMPTS,
    "policy_version": integer(0),
    "batch_id": text,
    "of": choice("policy", "reference"),
    "temperature": number(_SMALLEST),
    "store": flag,
    "entropy": flag,
}

CANDIDATES: Table = {
    **_IMAGES_OF_PROMPTS,
    "policy_version": integer(0),
    "temperature": number(_SMALLEST),
}

FORWARD_BACKWARD: Table = {
    **_IMAGES_OF_PROMPTS,
    "policy_version": integer(0),
    "step": integer(1),
    "part": integer(0),
    "batch_id": text,
    "temperature": number(_SMALLEST),
    "loss": record({**losses.SPEC, "old": optional(choice("detach", "stored"), "detach")}),
    "return_logprobs": flag,
}

DISCARD: Table = {"step": integer(1)}

OPTIM_STEP: Table = {
    "policy_version": integer(0),
    "step": integer(1),
    "parts": integer(1),
    "learning_rate": number(0),
    "max_grad_norm": optional(number(0)),
}

PATH: Table = {"path": text}

EXPORT: Table = {
    "path": text,
    "dtype": choice("float32", "bfloat16", "source"),
    "merge": optional(flag, False),
}
