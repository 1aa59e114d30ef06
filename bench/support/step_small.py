"""Steps of a small model on one CPU thread, phase by phase, at once and group by group: see bench/step-small.ts.

One argument: a folder that a checkpoint may be made in. Prints one JSON object of CPU seconds, each the best of all
rounds; CPU seconds, because a busy machine stretches the others.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from bench_engine import CONTEXT, open_engine
from numpy.typing import NDArray

from thurstone_runtime.engine import Engine
from thurstone_runtime.make_checkpoint import make_checkpoint

PROMPTS, SAMPLES, NEW_TOKENS, PROMPT_TOKENS, SIDE = 24, 6, 12, 27, 56
ROUNDS = 5
LOSS = {"surrogate": "clip", "epsilon": 0.2, "epsilon_high": None, "beta": 0.02, "kl": "k3", "old": "detach"}

Tensors = dict[str, NDArray[Any]]


def send_pictures(engine: Engine, keys: list[str]) -> None:
    """Noise of the model's size."""
    random = np.random.default_rng(0)
    sizes = {"height": SIDE, "width": SIDE, "target_height": SIDE, "target_width": SIDE}
    announced = {"images": [{"key": key, "hash": key, **sizes} for key in keys], "step": None, "release_before": None}
    pixels = {str(index): random.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8) for index in range(len(keys))}
    engine.images(announced, pixels, CONTEXT)


def group_batches(prompts: Tensors, keys: list[str], sampled: Tensors) -> tuple[tuple[Tensors, list[str]], ...]:
    """The whole batch, and then one per group."""
    random = np.random.default_rng(1)
    count = len(sampled["tokens"])
    flat = {
        "completion_ids": sampled["tokens"],
        "advantages": random.normal(size=count).astype(np.float32),
        "weights": np.full(count, 1 / count, np.float32),
    }
    rows = {"completion_lengths": sampled["lengths"], "completion_index": np.arange(PROMPTS * SAMPLES, dtype=np.int32)}
    whole = {**prompts, **rows, **flat, "group_sizes": np.full(PROMPTS, SAMPLES, np.int32)}
    edges = np.concatenate([[0], np.cumsum(sampled["lengths"])])
    groups = []
    for group in range(PROMPTS):
        own = slice(group * SAMPLES, (group + 1) * SAMPLES)
        tokens = slice(edges[own.start], edges[own.stop])
        tensors = {
            "prompt_ids": prompts["prompt_ids"][group * PROMPT_TOKENS : (group + 1) * PROMPT_TOKENS],
            "prompt_lengths": prompts["prompt_lengths"][:1],
            "group_sizes": whole["group_sizes"][:1],
            **{name: values[own] for name, values in rows.items()},
            **{name: values[tokens] for name, values in flat.items()},
        }
        groups.append((tensors, [keys[group]]))
    return (whole, keys), *groups


def measure(checkpoint: Path, *, freeze_vision: bool) -> dict[str, float]:
    """CPU seconds of each phase."""
    engine, description = open_engine(str(checkpoint), freeze_vision=freeze_vision, deterministic=False)
    keys = [f"picture {index}" for index in range(PROMPTS)]
    send_pictures(engine, keys)
    random = np.random.default_rng(2)
    ids = random.integers(10, 400, (PROMPTS, PROMPT_TOKENS)).astype(np.int32)
    ids[:, 8:12] = description["image_token_id"]
    prompts = {"prompt_ids": ids.reshape(-1), "prompt_lengths": np.full(PROMPTS, PROMPT_TOKENS, np.int32)}
    best: dict[str, float] = {}

    def timed(phase: str, call: Any, *arguments: Any) -> Any:
        began = time.process_time()
        result = call(*arguments)
        seconds = time.process_time() - began
        best[phase] = min(best.get(phase, seconds), seconds)
        return result

    def run_parts(parts: list[tuple[Tensors, list[str]]], step: int, batch: str, reference: bool) -> None:
        for part, (tensors, own) in enumerate(parts):
            call = {
                "images": [[key] for key in own],
                "policy_version": step - 1,
                "batch_id": batch,
                "temperature": 1.0,
            }
            if reference:
                rows = {name: value for name, value in tensors.items() if name not in ("advantages", "weights")}
                engine.logprobs({**call, "of": "reference", "store": True, "entropy": False}, rows, CONTEXT)
            else:
                update = {**call, "step": step, "part": part, "loss": LOSS, "return_logprobs": False}
                engine.forward_backward(update, tensors, CONTEXT)

    for step in range(1, ROUNDS + 2):
        asked = {
            "images": [[key] for key in keys],
            "policy_version": step - 1,
            "samples": SAMPLES,
            "temperature": 1.0,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "max_new_tokens": NEW_TOKENS,
        }
        draws = {**prompts, "keys": np.arange(PROMPTS, dtype=np.int64) + step * PROMPTS}
        if step == 2:
            best.clear()  # the first round warms up
        _, sampled = timed("sampling", engine.generate, asked, draws, CONTEXT)
        whole, *groups = group_batches(prompts, keys, sampled)
        for name, parts in (("group by group", groups), ("at once", [whole])):
            for phase, reference in (("reference", True), ("forward and backward", False)):
                timed(f"{phase}, {name}", run_parts, parts, step, f"{step} {name}", reference)
        update = {"policy_version": step - 1, "step": step, "parts": 1, "learning_rate": 1e-4, "max_grad_norm": 1.0}
        timed("update", engine.optim_step, update, {}, CONTEXT)
    return best


def main() -> None:
    """Trained and frozen tower, one after the other."""
    checkpoint = Path(sys.argv[1]) / "tiny"
    make_checkpoint(checkpoint, preset="tiny")
    json.dump({name: measure(checkpoint, freeze_vision=name == "frozen") for name in ("trained", "frozen")}, sys.stdout)


if __name__ == "__main__":
    main()
