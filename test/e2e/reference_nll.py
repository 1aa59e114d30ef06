"""The loss of whole conversations as transformers computes it, for comparison with one example per answer.

Nothing of thurstone's own is used. stdin is a JSON object:
    model           folder of the checkpoint
    conversations   list of {messages: chat messages with text and image parts, images: paths}
stdout is one: {loss, tokens, grad_norm}. The loss is the model's own cross entropy with labels on what the assistant
says (each answer and its end-of-turn token) and -100 elsewhere, as a mean over all such tokens of all conversations;
the norm is that of its gradient over all parameters.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from PIL import Image
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

END_OF_TURN = "<|im_end|>"
PLACEHOLDER = "<|image_pad|>"


def expanded(text: str, counts: list[int]) -> str:
    """Every placeholder as often as its picture has tokens; a prefix of a conversation has its first pictures."""
    first, *rest = text.split(PLACEHOLDER)
    return first + "".join(PLACEHOLDER * count + piece for count, piece in zip(counts[: len(rest)], rest, strict=True))


def inputs_of(tokenizer: Any, processor: Any, conversation: dict[str, Any]) -> dict[str, torch.Tensor]:
    messages = conversation["messages"]
    pictures = [Image.open(path).convert("RGB") for path in conversation["images"]]
    vision = processor(images=pictures, return_tensors="pt") if pictures else {}
    counts = [int(grid.prod()) // 4 for grid in vision["image_grid_thw"]] if pictures else []
    text = expanded(tokenizer.apply_chat_template(messages, tokenize=False), counts)
    spans = []
    for turn, message in enumerate(messages):
        if message["role"] == "assistant":
            asked = tokenizer.apply_chat_template(messages[:turn], tokenize=False, add_generation_prompt=True)
            start = len(expanded(asked, counts))
            spans.append((start, start + len(message["content"] + END_OF_TURN)))
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    labels = [
        token if any(start <= begin and end <= stop for start, stop in spans) else -100
        for token, (begin, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]
    return {"input_ids": torch.tensor([encoded["input_ids"]]), "labels": torch.tensor([labels]), **vision}


def main() -> None:
    asked = json.load(sys.stdin)
    torch.set_num_threads(1)
    model: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(asked["model"], dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(asked["model"])
    processor = Qwen2VLImageProcessorPil.from_pretrained(asked["model"])
    total, tokens = torch.zeros(()), 0
    for conversation in asked["conversations"]:
        inputs = inputs_of(tokenizer, processor, conversation)
        ids = inputs["input_ids"]
        count = int((inputs["labels"] != -100).sum())
        loss = model(mm_token_type_ids=(ids == model.config.image_token_id).int(), **inputs).loss
        total, tokens = total + loss * count, tokens + count
    mean = total / tokens
    mean.backward()
    norm = torch.nn.utils.get_total_norm([one.grad for one in model.parameters() if one.grad is not None])
    print(json.dumps({"loss": mean.item(), "tokens": tokens, "grad_norm": norm.item()}))


if __name__ == "__main__":
    main()
