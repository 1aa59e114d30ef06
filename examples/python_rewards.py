"""Reward functions as one writes them for TRL, for `python_reward: examples/python_rewards.py:near`."""

from __future__ import annotations

import re
from typing import Any

ANSWER = re.compile(r"<answer>\s*([\d.]+)\s*</answer>")


def near(completions: list[list[dict[str, str]]], mos: list[float | None], **columns: Any) -> list[float | None]:
    """1 for an answer that is the label, 0 for one that is 4 points off; None where there is no label."""
    answers = [ANSWER.search(completion[0]["content"]) for completion in completions]
    return [
        None if label is None else 0.0 if answer is None else 1 - abs(float(answer[1]) - label) / 4
        for answer, label in zip(answers, mos, strict=True)
    ]


def short(completions: list[list[dict[str, str]]], **columns: Any) -> list[float]:
    """1 for nothing at all, 1/2 for 500 characters."""
    return [500 / (500 + len(completion[0]["content"])) for completion in completions]
