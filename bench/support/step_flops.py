"""Counts the floating point operations of one GRPO step of the worker: see bench/step.ts.

One argument: a `StepJob` of bench/support/step-shapes.ts as JSON. Prints one JSON object. The verbs are called as
`train` calls them, in this process, under torch's FlopCounterMode, which sees every product of tensors.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from bench_engine import CONTEXT, open_engine
from minimum_flops import GroupShape, MinimumFlops, minimum_flops
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from transformers import AutoConfig

Shape = tuple[int, ...]


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(grad: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(grad, query, key, value)


aten = torch.ops.aten
# The kernels that attention takes on a CPU; the counter by itself knows those of accelerators only.
ATTENTION_ON_CPU = {
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
SIDE = 28
"""Targets are multiples of it: a patch of 14 pixels, merged two by two."""


@dataclass(frozen=True)
class StepFlops:
    """What was counted, and what cannot be left out."""

    generation: int
    """Of `generate`."""
    loss: int
    """Of `forward_backward`, the reference included."""
    minimum: MinimumFlops
    prompt_tokens: int

    @property
    def over_minimum(self) -> float:
        """Counted operations as a multiple of the least."""
        return (self.generation + self.loss) / self.minimum.total


def count_step(
    model: str,
    pictures: list[np.ndarray],
    question: str,
    *,
    generations: int,
    tokens: int,
    frozen_tower: bool,
    lora_rank: int | None,
    beta: float,
) -> StepFlops:
    """One step with a prompt per picture."""
    engine, _ = open_engine(model, freeze_vision=frozen_tower, deterministic=True, lora_rank=lora_rank)
    keys = [str(index) for index in range(len(pictures))]
    targets = [[round(side / SIDE) * SIDE for side in picture.shape[:2]] for picture in pictures]
    announced = [
        {
            "key": key,
            "hash": key,
            "height": picture.shape[0],
            "width": picture.shape[1],
            "target_height": target[0],
            "target_width": target[1],
        }
        for key, picture, target in zip(keys, pictures, targets, strict=True)
    ]
    engine.images(
        {"images": announced, "step": 1, "release_before": 0}, dict(zip(keys, pictures, strict=True)), CONTEXT
    )
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    asked = [{"messages": messages, "images": [target], "prefill": None} for target in targets]
    _, encoded = engine.encode({"prompts": asked}, {}, CONTEXT)
    prompts = {"prompt_ids": encoded["ids"], "prompt_lengths": encoded["lengths"]}

    counter = FlopCounterMode(display=False, custom_mapping=ATTENTION_ON_CPU)
    batch: dict[str, Any] = {"images": [[key] for key in keys], "policy_version": 0}
    sampling = {
        "samples": generations,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "max_new_tokens": tokens,
    }
    with counter:
        draws = {**prompts, "keys": np.arange(len(keys), dtype=np.int64)}
        _, sampled = engine.generate({**batch, **sampling}, draws, CONTEXT)
    generation = counter.get_total_flops()

    loss = {"surrogate": "clip", "epsilon": 0.2, "epsilon_high": None, "beta": beta, "kl": "k3", "old": "detach"}
    update = {"batch_id": "1", "temperature": 1.0, "step": 1, "loss": loss, "return_logprobs": False}
    prompt_parts = np.split(encoded["ids"], np.cumsum(encoded["lengths"])[:-1])
    length_parts = np.split(sampled["lengths"], len(keys))
    token_parts = np.split(sampled["tokens"], np.cumsum([own.sum() for own in length_parts])[:-1])
    # A part per group, as the planner cuts an update of a model of this size.
    with counter:
        for part, key in enumerate(keys):
            count = len(token_parts[part])
            tensors = {
                "prompt_ids": prompt_parts[part],
                "prompt_lengths": encoded["lengths"][part : part + 1],
                "group_sizes": np.full(1, generations, np.int32),
                "completion_ids": token_parts[part],
                "completion_lengths": length_parts[part],
                "completion_index": np.arange(part * generations, (part + 1) * generations, dtype=np.int32),
                "advantages": np.linspace(-1, 1, count, dtype=np.float32),
                "weights": np.full(count, 1 / count, np.float32),
            }
            own = {"policy_version": 0, "images": [[key]], "part": part}
            engine.forward_backward({**update, **own}, tensors, CONTEXT)
    grids = [(height // SIDE * 2, width // SIDE * 2) for height, width in targets]
    lengths = sampled["lengths"].reshape(len(keys), generations).tolist()
    groups = [
        GroupShape(int(prompt), (grid,), tuple(own))
        for prompt, grid, own in zip(encoded["lengths"], grids, lengths, strict=True)
    ]
    config = AutoConfig.from_pretrained(model)
    minimum = minimum_flops(config, groups, frozen_tower=frozen_tower, lora_rank=lora_rank)
    return StepFlops(generation, counter.get_total_flops(), minimum, int(encoded["lengths"][0]))


def main() -> None:
    """The command line."""
    job = json.loads(sys.argv[1])
    pictures = [np.asarray(Image.open(Path(path)).convert("RGB")) for path in job["pictures"][: job["prompts"]]]
    names = ("generations", "tokens", "frozen_tower", "lora_rank", "beta")
    counted = count_step(job["model"], pictures, job["question"], **{name: job[name] for name in names})
    print(json.dumps({**asdict(counted), "over_minimum": counted.over_minimum}))


if __name__ == "__main__":
    main()
