"""GRPO updates written out plainly, for comparison: one forward pass per completion, the formula, torch's AdamW.

Nothing of thurstone's own is used. stdin is a JSON object:
    model, exported        folders of the checkpoint before and after the updates
    settings               temperature, epsilon, beta, learning_rates (one per update), betas, adam_epsilon,
                           weight_decay, max_grad_norm
    groups                 list of {prompt: ids, images: paths, completions: lists of ids, advantages: numbers}
stdout is one: {updates: [{loss, kl, entropy, grad_norm}], difference, moved} with the largest difference between the
exported weights and those computed here, and the largest distance that any of them moved.

loss = mean over completions of the mean over their tokens of
       -min(r A, clip(r, 1 - epsilon, 1 + epsilon) A) + beta (exp(ref - new) - (ref - new) - 1),   r = exp(new - old)
with old and ref from the weights before the first update (DeepSeekMath, arXiv 2402.03300).
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from PIL import Image
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil


def load(folder: str) -> Any:
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


def token_logprobs(
    model: Any, processor: Any, group: dict[str, Any], completion: list[int], temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of one completion: log-probabilities and entropies [tokens]."""
    prompt = group["prompt"]
    ids = torch.tensor([prompt + completion])
    inputs = {"input_ids": ids, "mm_token_type_ids": (ids == model.config.image_token_id).int()}
    if group["images"]:
        pictures = [Image.open(path).convert("RGB") for path in group["images"]]
        inputs.update(processor(images=pictures, return_tensors="pt"))
    logits = model(**inputs, use_cache=False).logits[0, len(prompt) - 1 : -1]
    logprobs = torch.log_softmax(logits / temperature, dim=-1)
    chosen = logprobs.gather(-1, torch.tensor(completion)[:, None])[:, 0]
    return chosen, -(logprobs.exp() * logprobs).sum(-1)


def every_completion(groups: list[dict[str, Any]]) -> list[tuple[dict[str, Any], list[int], float]]:
    return [
        (group, completion, advantage)
        for group in groups
        for completion, advantage in zip(group["completions"], group["advantages"], strict=True)
    ]


def main() -> None:
    asked = json.load(sys.stdin)
    settings = asked["settings"]
    torch.set_num_threads(1)
    model = load(asked["model"])
    processor = Qwen2VLImageProcessorPil.from_pretrained(asked["model"])
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    completions = every_completion(asked["groups"])
    temperature, epsilon, beta = settings["temperature"], settings["epsilon"], settings["beta"]

    def logprobs(group: dict[str, Any], completion: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return token_logprobs(model, processor, group, completion, temperature)

    with torch.no_grad():
        before = [logprobs(group, completion)[0] for group, completion, _ in completions]
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [one for one in parameters if one.ndim > 1], "weight_decay": settings["weight_decay"]},
            {"params": [one for one in parameters if one.ndim == 1], "weight_decay": 0.0},
        ],
        betas=tuple(settings["betas"]),
        eps=settings["adam_epsilon"],
    )

    updates = []
    for learning_rate in settings["learning_rates"]:
        total = torch.zeros(())
        kl_sum, entropy_sum, tokens = 0.0, 0.0, 0
        for (group, completion, advantage), old in zip(completions, before, strict=True):
            new, entropy = logprobs(group, completion)
            ratio = torch.exp(new - old)
            surrogate = -torch.minimum(ratio * advantage, ratio.clamp(1 - epsilon, 1 + epsilon) * advantage)
            kl = torch.exp(old - new) - (old - new) - 1
            total = total + (surrogate + beta * kl).mean() / len(completions)
            kl_sum, entropy_sum = kl_sum + kl.sum().item(), entropy_sum + entropy.sum().item()
            tokens += len(completion)
        optimizer.zero_grad()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, settings["max_grad_norm"])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
        means = {"kl": kl_sum / tokens, "entropy": entropy_sum / tokens}
        updates.append({"loss": total.item(), "grad_norm": norm.item(), **means})

    exported = dict(load(asked["exported"]).named_parameters())
    named = dict(model.named_parameters())
    difference = max((exported[name] - parameter).abs().max().item() for name, parameter in named.items())
    moved = max((start[name] - parameter).abs().max().item() for name, parameter in named.items())
    print(json.dumps({"updates": updates, "difference": difference, "moved": moved}))


if __name__ == "__main__":
    main()
