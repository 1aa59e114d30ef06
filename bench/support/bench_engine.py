"""An engine in this process, for benchmarks that look inside the worker."""

from __future__ import annotations

from typing import Any

from thurstone_runtime.context import CallContext, Pulse
from thurstone_runtime.engine import Engine

CONTEXT = CallContext(deadline=None, pulse=Pulse(), send_progress=lambda _fields: None)


def open_engine(
    model: str,
    *,
    freeze_vision: bool,
    deterministic: bool,
    lora_rank: int | None = None,
    optim: str = "adamw_torch",
    **others: Any,
) -> tuple[Engine, dict[str, Any]]:
    """The model in training on one CPU thread, with a reference, and its description; `others` are parameters of `load`
    that are to be different."""
    engine = Engine()
    settings = {
        "model": model,
        "revision": None,
        "device": "cpu",
        "torch_dtype": "float32",
        "train": True,
        "reference": True,
        "attention": "auto",
        "gradient_checkpointing": False,
        "freeze_vision": freeze_vision,
        "optimizer": {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0, "optim": optim},
        "lora": None if lora_rank is None else {"seed": 0, "r": lora_rank},
        "strategy": "single",
        "image_cache_bytes": 2**28,
        "allowed_roots": [],
        "threads": 1,
        "min_pixels": None,
        "max_pixels": None,
        "deterministic": deterministic,
        **others,
    }
    return engine, engine.load(settings, {}, CONTEXT)[0]
