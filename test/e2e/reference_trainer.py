"""The reference's training step (VisualQuality-R1: GRPO with fidelity and format rewards) in plain PyTorch.

Written from a description of its code, padding and all; nothing of thurstone's own is used. stdin is a JSON object:
    model, exported   folders of the checkpoint before and after the updates
    template          how a question is put
    settings          beta, epsilon, learning_rate, weight_decay, max_grad_norm, pictures_per_device
    steps             list of steps, each a list of {question, image: path, mos, completions: texts}
stdout is one: {steps: [{rewards, advantages, loss, kl, grad_norm}], difference, moved}: rewards and advantages by
picture and completion, the largest difference between the exported weights and those computed here, the largest way
that any weight went.

A device takes `pictures_per_device` pictures, compares them with each other alone, and means its loss over its
completions; gradients are averaged over devices, as DDP and ZeRO do.
"""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

Picture = dict[str, Any]


def score_of(text: str) -> float:
    answers = re.findall(r"<answer>(.*?)</answer>", text, re.DOTALL)
    content = answers[-1].strip() if answers else text.strip()
    found = re.search(r"-?\d+(\.\d+)?", content)
    assert found is not None, "the reference would make up a score here"
    return float(found.group())


def fidelity(p: Tensor, preferred: float) -> Tensor:
    return torch.sqrt(p * preferred + 1e-6) + torch.sqrt((1 - p) * (1 - preferred) + 1e-6)


def rewards_of(pictures: list[Picture]) -> Tensor:
    """[picture, completion]: fidelity plus format, over the pictures of one device."""
    scores = torch.tensor([[score_of(text) for text in one["completions"]] for one in pictures], dtype=torch.float64)
    mean, variance = scores.mean(dim=1), scores.var(dim=1)
    rewards = torch.zeros_like(scores)
    for i, own in enumerate(pictures):
        for j, text in enumerate(own["completions"]):
            earned = []
            for z, other in enumerate(pictures):
                if z == i:
                    continue
                gap = (scores[i, j] - mean[z]) / torch.sqrt(variance[i] + variance[z] + 1e-6)
                p = 0.5 * (1 + torch.erf(gap / math.sqrt(2)))
                preferred = 1.0 if own["mos"] > other["mos"] else 0.0 if own["mos"] < other["mos"] else 0.5
                earned.append(fidelity(p, preferred))
            shaped = re.fullmatch(r"<think>.*?</think>\s*<answer>.*?</answer>", text, re.DOTALL)
            rewards[i, j] = torch.stack(earned).mean() + (1.0 if shaped else 0.0)
    return rewards


def advantages_of(rewards: Tensor) -> Tensor:
    return (rewards - rewards.mean(dim=1, keepdim=True)) / (rewards.std(dim=1, keepdim=True) + 1e-4)


class Batch:
    """One device's completions as the reference feeds them: prompts padded on the left, completions on the right."""

    def __init__(
        self, pictures: list[Picture], template: str, tokenizer: Any, processor: Any, image_token: int
    ) -> None:
        prompts, completions, images = [], [], []
        for one in pictures:
            question = template.replace("{Question}", one["question"])
            content = [{"type": "image"}, {"type": "text", "text": question}]
            chat = [{"role": "user", "content": content}]
            text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
            image = processor(images=[Image.open(one["image"]).convert("RGB")], return_tensors="pt")
            tokens = int(image["image_grid_thw"].prod()) // processor.merge_size**2
            text = text.replace("<|image_pad|>", "<|image_pad|>" * tokens)
            for completion in one["completions"]:
                prompts.append(tokenizer(text, add_special_tokens=False).input_ids)
                ids = tokenizer(completion, add_special_tokens=False).input_ids
                completions.append([*ids, tokenizer.eos_token_id])
                images.append(image)
        self.prompt = max(map(len, prompts))
        longest = max(map(len, completions))
        pad = tokenizer.pad_token_id
        self.ids = torch.tensor(
            [
                [pad] * (self.prompt - len(prompt)) + prompt + completion + [pad] * (longest - len(completion))
                for prompt, completion in zip(prompts, completions, strict=True)
            ]
        )
        self.mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in completions])
        prompt_mask = torch.tensor([[0] * (self.prompt - len(one)) + [1] * len(one) for one in prompts])
        self.inputs = {
            "attention_mask": torch.cat([prompt_mask, self.mask], dim=1),
            "mm_token_type_ids": (self.ids == image_token).int(),
            "pixel_values": torch.cat([image["pixel_values"] for image in images]),
            "image_grid_thw": torch.cat([image["image_grid_thw"] for image in images]),
        }

    def logprobs(self, model: Any) -> Tensor:
        """[completion, position] of the completions' tokens."""
        logits = model(input_ids=self.ids, use_cache=False, **self.inputs).logits[:, :-1]
        chosen = torch.log_softmax(logits, dim=-1).gather(-1, self.ids[:, 1:, None])[..., 0]
        return chosen[:, self.prompt - 1 :]


def loss_of(
    batch: Batch, advantages: Tensor, model: Any, reference: Any, settings: dict[str, Any]
) -> tuple[Tensor, float]:
    """The reference's compute_loss with num_iterations 1, and its mean KL."""
    new = batch.logprobs(model)
    with torch.no_grad():
        ref = batch.logprobs(reference)
    ratio = torch.exp(new - new.detach())
    given = advantages.flatten().float()[:, None]
    clipped = torch.clamp(ratio, 1 - settings["epsilon"], 1 + settings["epsilon"])
    kl = torch.exp(ref - new) - (ref - new) - 1
    per_token = -torch.min(ratio * given, clipped * given) + settings["beta"] * kl
    lengths = batch.mask.sum(dim=1)
    loss = ((per_token * batch.mask).sum(dim=1) / lengths).mean()
    return loss, ((kl * batch.mask).sum(dim=1) / lengths).mean().item()


def adamw(model: Any, settings: dict[str, Any]) -> torch.optim.AdamW:
    """As transformers' Trainer makes it: no weight decay on biases and norms, its defaults otherwise."""
    plain = re.compile(r"bias|norm|ln_q")
    named = list(model.named_parameters())
    return torch.optim.AdamW(
        [
            {
                "params": [one for name, one in named if not plain.search(name)],
                "weight_decay": settings["weight_decay"],
            },
            {"params": [one for name, one in named if plain.search(name)], "weight_decay": 0.0},
        ],
        lr=settings["learning_rate"],
        betas=(0.9, 0.999),
        eps=1e-8,
    )


def load(folder: str) -> Any:
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


def main() -> None:
    asked = json.load(sys.stdin)
    settings, steps = asked["settings"], asked["steps"]
    torch.set_num_threads(1)
    model, reference = load(asked["model"]), load(asked["model"])
    tokenizer = AutoTokenizer.from_pretrained(asked["model"])
    processor = Qwen2VLImageProcessorPil.from_pretrained(asked["model"])
    optimizer = adamw(model, settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: (len(steps) - done) / len(steps))

    records = []
    for pictures in steps:
        size = settings["pictures_per_device"]
        devices = [pictures[first : first + size] for first in range(0, len(pictures), size)]
        record: dict[str, Any] = {"rewards": [], "advantages": [], "loss": 0.0, "kl": 0.0}
        optimizer.zero_grad()
        for own in devices:
            rewards = rewards_of(own)
            advantages = advantages_of(rewards)
            batch = Batch(own, asked["template"], tokenizer, processor, model.config.image_token_id)
            loss, kl = loss_of(batch, advantages, model, reference, settings)
            (loss / len(devices)).backward()
            record["rewards"] += rewards.tolist()
            record["advantages"] += advantages.tolist()
            record["loss"] += loss.item() / len(devices)
            record["kl"] += kl / len(devices)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings["max_grad_norm"])
        optimizer.step()
        schedule.step()
        records.append({**record, "grad_norm": norm.item()})

    trained, start = dict(model.named_parameters()), dict(reference.named_parameters())
    exported = dict(load(asked["exported"]).named_parameters())
    difference = max((exported[name] - one).abs().max().item() for name, one in trained.items())
    moved = max((start[name] - one).abs().max().item() for name, one in trained.items())
    print(json.dumps({"steps": records, "difference": difference, "moved": moved}))


if __name__ == "__main__":
    main()
