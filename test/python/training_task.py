"""A small training task for tests of the worker: pictures, prompts, completions, and calls of the engine's verbs."""

from __future__ import annotations

import copy
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import OpenContext
from thurstone_runtime.batches import Group
from thurstone_runtime.engine import Engine
from thurstone_runtime.errors import EngineError
from thurstone_runtime.families import LoadedModel
from thurstone_runtime.images import Picture
from thurstone_runtime.logprobs import Scores, group_scores
from thurstone_runtime.vision import VisionTower

SIZES = {"a": (56, 84), "b": (28, 56), "c": (84, 28)}
"""Height and width of the pictures, by key: multiples of 28, so that nothing is resized."""

TEXT = [11, 40, 23, 7]


def picture(key: str) -> np.ndarray:
    """uint8 [height, width, 3] of noise, the same for the same key."""
    return np.random.default_rng(ord(key)).integers(0, 256, (*SIZES[key], 3), dtype=np.uint8)


def prompt_ids(image_token: int, keys: str) -> list[int]:
    """Text, then each picture's placeholders followed by text."""
    ids = list(TEXT)
    for key in keys:
        height, width = SIZES[key]
        ids += [image_token] * (height * width // 28**2) + [5, 9]
    return ids


@dataclass
class Part:
    """Groups as one call of `logprobs` or `forwardBackward` takes them."""

    keys: list[str]
    """Pictures of each prompt: "ab" is two, "" is none."""
    prompts: list[list[int]]
    completions: list[list[list[int]]]
    first_index: int = 0
    advantages: list[np.ndarray] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)

    def tensors(self) -> dict[str, np.ndarray]:
        """The tensors of the group batch, and of the loss where there are any."""
        flat = [completion for group in self.completions for completion in group]
        found = {
            "prompt_ids": _flat(self.prompts),
            "prompt_lengths": _lengths(self.prompts),
            "group_sizes": _lengths(self.completions),
            "completion_ids": _flat(flat),
            "completion_lengths": _lengths(flat),
            "completion_index": np.arange(self.first_index, self.first_index + len(flat), dtype=np.int32),
        }
        if self.weights:
            found["advantages"] = np.concatenate(self.advantages).astype(np.float32)
            found["weights"] = np.concatenate(self.weights).astype(np.float32)
        return found

    def split(self) -> list[Part]:
        """One part per group."""
        parts, index, row = [], self.first_index, 0
        for keys, prompt, group in zip(self.keys, self.prompts, self.completions, strict=True):
            rows = slice(row, row + len(group))
            parts.append(Part([keys], [prompt], [group], index, self.advantages[rows], self.weights[rows]))
            index, row = index + len(group), row + len(group)
        return parts


def make_part(image_token: int, *, keys: tuple[str, ...] = ("a", "", "bc"), samples: int = 3, seed: int = 0) -> Part:
    """Groups with completions of different length, advantages of both signs and `grpo` weights."""
    random = np.random.default_rng(seed)
    completions = [[random.integers(10, 400, random.integers(1, 9)).tolist() for _ in range(samples)] for _ in keys]
    flat = [completion for group in completions for completion in group]
    return Part(
        keys=list(keys),
        prompts=[prompt_ids(image_token, own) for own in keys],
        completions=completions,
        advantages=[np.full(len(completion), random.normal()) for completion in flat],
        weights=[np.full(len(completion), 1 / (len(flat) * len(completion))) for completion in flat],
    )


def groups_of(part: Part) -> list[Group]:
    """The same as the worker's own records."""
    groups, index, token = [], part.first_index, 0
    for keys, prompt, completions in zip(part.keys, part.prompts, part.completions, strict=True):
        count = sum(map(len, completions))
        groups.append(
            Group(
                prompt=np.array(prompt, np.int32),
                images=tuple(keys),
                completions=tuple(np.array(completion, np.int32) for completion in completions),
                indices=tuple(range(index, index + len(completions))),
                tokens=slice(token, token + count),
            )
        )
        index, token = index + len(completions), token + count
    return groups


def random_groups(image_token: int, seed: int) -> list[Group]:
    """Groups of one and more completions, from one token on, with several pictures, the same ones or none."""
    random = np.random.default_rng(seed)
    keys = ["".join(random.choice(list("abc"), random.integers(0, 3))) for _ in range(random.integers(1, 7))]
    part = make_part(image_token, keys=tuple(keys), seed=seed)
    part.completions = [
        [random.integers(10, 400, random.integers(1, 13)).tolist() for _ in range(random.integers(1, 6))] for _ in keys
    ]
    part.prompts = [prompt + random.integers(10, 400, random.integers(0, 20)).tolist() for prompt in part.prompts]
    return groups_of(part)


def trainable(loaded: Any) -> Any:
    """A copy whose parameters take gradients."""
    model = copy.deepcopy(loaded.model)
    model.requires_grad_(True)
    return dataclasses.replace(loaded, model=model)


def pictures_of(group: Group) -> list[Picture]:
    """The group's pictures as the store would hand them out."""
    return [Picture(key, torch.from_numpy(picture(key))) for key in group.images]


def scores_of(loaded: LoadedModel, *groups: Group, tower: VisionTower | None = None, **options: Any) -> Scores:
    """`group_scores` of these groups, under a tower in training unless another is given."""
    pictures = [pictures_of(group) for group in groups]
    options = {"temperature": 1.0, "packed": False, **options}
    return group_scores(loaded, tower or VisionTower(loaded), groups, pictures, **options)


def plain_distribution(
    model: Any, loaded: LoadedModel, keys: str, prompt: list[int], completion: list[int], temperature: float
) -> torch.Tensor:
    """What transformers itself says, [completion tokens, vocabulary]: one row through the model's own forward, whole
    logits, log-softmax."""
    ids = torch.tensor([prompt + completion])
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if keys:
        patches = [loaded.family.patchify(torch.from_numpy(picture(key))) for key in keys]
        inputs["pixel_values"] = torch.cat([patch.values for patch in patches])
        inputs["image_grid_thw"] = torch.tensor([[1, *patch.grid] for patch in patches])
        inputs["mm_token_type_ids"] = (ids == loaded.family.image_token_id).int()
    logits = model(**inputs, use_cache=False).logits[0, len(prompt) - 1 : -1] / temperature
    return torch.log_softmax(logits, dim=-1)


def plain_logprobs(
    model: Any, loaded: LoadedModel, keys: str, prompt: list[int], completion: list[int], temperature: float
) -> torch.Tensor:
    """Of the completion's own tokens under `plain_distribution`."""
    whole = plain_distribution(model, loaded, keys, prompt, completion, temperature)
    return whole[torch.arange(len(completion)), torch.tensor(completion)]


def load_parameters(checkpoint: Path, **changes: Any) -> dict[str, Any]:
    """Parameters of `load` for training in float32 on one CPU thread."""
    return {
        "model": str(checkpoint),
        "revision": None,
        "device": "cpu",
        "torch_dtype": "float32",
        "train": True,
        "reference": False,
        "attention": "sdpa",
        "gradient_checkpointing": False,
        "freeze_vision": False,
        "optimizer": {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01},
        "strategy": "single",
        "ranks": None,
        "image_cache_bytes": 2**33,
        "allowed_roots": [],
        "threads": 1,
        "min_pixels": None,
        "max_pixels": None,
        "deterministic": True,
        **changes,
    }


class Worker:
    """An engine with a model, and its verbs with the parameters that tests rarely change filled in."""

    def __init__(self, checkpoint: Path, **changes: Any) -> None:
        self.engine = Engine()
        self.context: Any = OpenContext()
        self.description, _ = self.engine.load(load_parameters(checkpoint, **changes), {}, self.context)
        requests = [
            {"key": key, "hash": key, "height": h, "width": w, "target_height": h, "target_width": w}
            for key, (h, w) in SIZES.items()
        ]
        pixels = {str(index): picture(key) for index, key in enumerate(SIZES)}
        self.engine.images({"images": requests, "step": None, "release_before": None}, pixels, self.context)

    @property
    def model(self) -> Any:
        """The model in training."""
        return self.engine._session.loaded.model

    @property
    def version(self) -> int:
        """Of the weights."""
        return self.engine.describe({}, {}, self.context)[0]["policy_version"]

    def part(self, **options: Any) -> Part:
        """See `make_part`."""
        return make_part(self.description["image_token_id"], **options)

    def logprobs(self, part: Part, **changes: Any) -> dict[str, np.ndarray]:
        """The tensors that `logprobs` answers."""
        params = {
            "images": [list(keys) for keys in part.keys],
            "policy_version": self.version,
            "batch_id": "batch",
            "of": "policy",
            "temperature": 1.0,
            "store": False,
            "entropy": False,
            **changes,
        }
        tensors = {name: array for name, array in part.tensors().items() if name not in ("advantages", "weights")}
        return self.engine.logprobs(params, tensors, self.context)[1]

    def forward_backward(
        self, part: Part, *, loss: dict[str, Any] | None = None, number: int = 0, context: Any = None, **changes: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The answer of `forwardBackward`."""
        params = {
            "images": [list(keys) for keys in part.keys],
            "policy_version": self.version,
            "step": self.version + 1,
            "part": number,
            "batch_id": "batch",
            "temperature": 1.0,
            "loss": {"surrogate": "clip", "epsilon": 0.2, "beta": 0.0, "kl": "k3", "old": "detach", **(loss or {})},
            "return_logprobs": True,
            **changes,
        }
        return self.engine.forward_backward(params, part.tensors(), context or self.context)

    def optim_step(self, **changes: Any) -> dict[str, Any]:
        """The answer of `optimStep`."""
        params = {
            "policy_version": self.version,
            "step": self.version + 1,
            "parts": 1,
            "learning_rate": 1e-3,
            "max_grad_norm": 1.0,
            **changes,
        }
        return self.engine.optim_step(params, {}, self.context)[0]

    def step(self, part: Part, *, batch_id: str = "batch", **loss: Any) -> dict[str, Any]:
        """One whole update."""
        self.forward_backward(part, loss=loss, batch_id=batch_id)
        return self.optim_step()

    def gradients(self) -> dict[str, torch.Tensor]:
        """Copies of what is accumulated."""
        named = self.model.named_parameters()
        return {name: parameter.grad.clone() for name, parameter in named if parameter.grad is not None}

    def bits(self) -> dict[str, bytes]:
        """Every bit of weights and optimizer state."""
        strategy = self.engine._session.trainer.strategy
        tensors = {**strategy.weights(), **strategy.optimizer_state()}
        return {name: held.whole().contiguous().numpy().tobytes() for name, held in tensors.items()}


def refused(code: str, call: Any, *arguments: Any, **options: Any) -> str:
    """The message of the error that the call must raise."""
    with pytest.raises(EngineError) as caught:
        call(*arguments, **options)
    assert caught.value.code == code
    return str(caught.value)


def configure_adapter(folder: Path, **changes: Any) -> None:
    """Other values in the adapter_config.json of the folder."""
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def _flat(rows: list[list[int]]) -> np.ndarray:
    return np.array([token for row in rows for token in row], np.int32)


def _lengths(rows: list[Any]) -> np.ndarray:
    return np.array([len(row) for row in rows], np.int32)
