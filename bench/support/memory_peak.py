"""What one rank really needs for a step, stage by stage: see bench/support/memory-peak.ts.

One argument, a JSON object (`Task`). Two steps run as they are, after which the peak of the process is read; a third
one runs under torch's profiler, which tells every allocation of a tensor. Prints one JSON object of bytes.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from bench_engine import CONTEXT, open_engine
from numpy.typing import NDArray
from torch.profiler import ProfilerActivity, profile

from thurstone_runtime.engine import Engine
from thurstone_runtime.memory import peak_resident_bytes

Tensors = dict[str, NDArray[Any]]

LOSS = {"surrogate": "clip", "epsilon": 0.2, "epsilon_high": None, "kl": "k3", "old": "detach"}


class Task:
    """What to do: the model, how it is trained, and the sizes of a step."""

    def __init__(self, text: str) -> None:
        given: dict[str, Any] = json.loads(text)
        self.model: str = given["model"]
        self.settings: dict[str, Any] = given["settings"]
        self.prompts: int = given["prompts"]
        self.passes: int = given["passes"]
        self.samples: int = given["samples"]
        self.text_tokens: int = given["text_tokens"]
        self.image_tokens: int = given["image_tokens"]
        self.completion_tokens: int = given["completion_tokens"]
        self.side: tuple[int, int] = tuple(given["side"])
        self.temperature: float = given["temperature"]


def main() -> None:
    """Runs the task."""
    task = Task(sys.argv[1])
    engine, description = open_engine(task.model, **task.settings)
    keys = [f"picture {number}" for number in range(task.prompts)]
    _send_pictures(engine, task, keys)
    prompts = _prompts(task, description["image_token_id"])
    for step in (1, 2):
        for _, call in _stages(engine, task, prompts, keys, step):
            call()
    process = peak_resident_bytes()
    before = _live_bytes()
    tensors = {}
    for name, call in _stages(engine, task, prompts, keys, 3):
        peak, left = _allocated(call)
        tensors[name] = before + peak
        before += left
    print(json.dumps({"process": process, "tensors": tensors}))


def _send_pictures(engine: Engine, task: Task, keys: list[str]) -> None:
    height, width = task.side
    random = np.random.default_rng(0)
    sizes = {"height": height, "width": width, "target_height": height, "target_width": width}
    announced = {"images": [{"key": key, "hash": key, **sizes} for key in keys], "step": None, "release_before": None}
    pixels = {
        str(number): random.integers(0, 256, (height, width, 3)).astype(np.uint8) for number, _ in enumerate(keys)
    }
    engine.images(announced, pixels, CONTEXT)


def _prompts(task: Task, image_token: int) -> Tensors:
    length = task.text_tokens + task.image_tokens
    ids = np.random.default_rng(1).integers(10, 400, (task.prompts, length)).astype(np.int32)
    ids[:, 4 : 4 + task.image_tokens] = image_token
    return {"prompt_ids": ids.reshape(-1), "prompt_lengths": np.full(task.prompts, length, np.int32)}


def _stages(
    engine: Engine, task: Task, prompts: Tensors, keys: list[str], step: int
) -> list[tuple[str, Callable[[], Any]]]:
    images = [[key] for key in keys]

    def generate() -> None:
        asked = {
            "images": images,
            "policy_version": step - 1,
            "samples": task.samples,
            "temperature": task.temperature,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "max_new_tokens": task.completion_tokens,
        }
        engine.generate(asked, {**prompts, "keys": np.arange(task.prompts, dtype=np.int64)}, CONTEXT)

    def train() -> None:
        for part in range(task.passes):
            own = slice(part * task.prompts // task.passes, (part + 1) * task.prompts // task.passes)
            asked = {
                "images": images[own],
                "policy_version": step - 1,
                "step": step,
                "part": part,
                "batch_id": f"batch {step}",
                "temperature": task.temperature,
                "loss": {**LOSS, "beta": 0.04 if task.settings["reference"] else 0.0},
                "return_logprobs": False,
            }
            engine.forward_backward(asked, _group_batch(task, prompts, own), CONTEXT)

    def update() -> None:
        engine.optim_step(
            {
                "policy_version": step - 1,
                "step": step,
                "parts": task.passes,
                "learning_rate": 1e-6,
                "max_grad_norm": 1.0,
            },
            {},
            CONTEXT,
        )

    return [("generate", generate), ("train", train), ("update", update)]


def _group_batch(task: Task, prompts: Tensors, own: slice) -> Tensors:
    """Completions of full length, so that the step is the largest there can be."""
    groups = own.stop - own.start
    rows = groups * task.samples
    tokens = rows * task.completion_tokens
    random = np.random.default_rng(2)
    length = task.text_tokens + task.image_tokens
    return {
        "prompt_ids": prompts["prompt_ids"][own.start * length : own.stop * length],
        "prompt_lengths": prompts["prompt_lengths"][own],
        "completion_ids": random.integers(10, 400, tokens).astype(np.int32),
        "completion_lengths": np.full(rows, task.completion_tokens, np.int32),
        "completion_index": np.arange(own.start * task.samples, own.stop * task.samples, dtype=np.int32),
        "group_sizes": np.full(groups, task.samples, np.int32),
        "advantages": random.normal(size=tokens).astype(np.float32),
        "weights": np.full(tokens, 1 / tokens, np.float32),
    }


def _allocated(call: Callable[[], Any]) -> tuple[int, int]:
    """The most that is allocated while it runs beyond what was there, and how much of it is left."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    found: Any = profiler.profiler
    changes = [
        (event.start_ns(), event.nbytes()) for event in found.kineto_results.events() if event.name() == "[memory]"
    ]
    held, peak = 0, 0
    for _, change in sorted(changes, key=lambda pair: pair[0]):
        held += change
        peak = max(peak, held)
    return peak, held


def _live_bytes() -> int:
    gc.collect()
    storages: dict[int, int] = {}
    for thing in gc.get_objects():
        # The type, not isinstance: deprecated objects of torch would warn about being looked at.
        if issubclass(type(thing), torch.Tensor):
            storage = thing.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


if __name__ == "__main__":
    main()
