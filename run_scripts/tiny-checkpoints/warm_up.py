"""Teaches the vision tower of a tiny checkpoint to see distortions: supervised, before it ever writes a word.

    node run_scripts/python.mjs run_scripts/tiny-checkpoints/warm_up.py OUT --data CROPS/train.jsonl --validation FILE

Two linear heads on the mean of the tower's output tokens, thrown away afterwards, predict the kind of distortion
(cross entropy) and the mean opinion score (squared error). What stays is an ordinary checkpoint whose text part is as
random as before. Prints a line of JSON per check and one at the end.

Suffixes: B pictures of a batch, N pictures of a pool, H features of a picture token, K kinds of distortion.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from thurstone_runtime.exports import export_model
from thurstone_runtime.families import LoadedModel
from thurstone_runtime.families.loading import load_model
from thurstone_runtime.make_checkpoint import make_checkpoint

SCORE_MEAN, SCORE_SPREAD = 3.0, 1.2


class Pool:
    """Pictures in memory with their labels."""

    def __init__(self, files: list[Path], kinds: list[str] | None = None) -> None:
        rows = [(file.parent, json.loads(line)) for file in files for line in file.read_text().splitlines()]
        self.pixels = np.stack([np.asarray(Image.open(folder / row["image"][0])) for folder, row in rows])
        self.score_N = torch.tensor([float(row["conversations"][1]["value"]) for _, row in rows])
        self.kinds = kinds or sorted({row["type"] for _, row in rows})
        self.kind_N = torch.tensor([self.kinds.index(row["type"]) for _, row in rows])

    def __len__(self) -> int:
        return len(self.pixels)


class Heads(nn.Module):
    """What is asked of the features."""

    def __init__(self, hidden: int, kinds: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.score = nn.Linear(hidden, 1)
        self.kind = nn.Linear(hidden, kinds)

    def forward(self, pooled_BH: Tensor) -> tuple[Tensor, Tensor]:
        normed_BH = self.norm(pooled_BH)
        return self.score(normed_BH).squeeze(-1), self.kind(normed_BH)


def features(loaded: LoadedModel, pixels: np.ndarray) -> Tensor:
    """[B, H]: the mean over a picture's tokens, as the text part would see them."""
    patches = [loaded.family.patchify(torch.from_numpy(picture)) for picture in pixels]
    return torch.stack([tokens.mean(0) for tokens in loaded.family.encode_images(loaded.model, patches)])


@torch.no_grad()
def check(loaded: LoadedModel, heads: Heads, pool: Pool, batch: int = 128) -> dict[str, float]:
    """Rank correlation and accuracy on pictures that are not trained on."""
    scores, hits = [], 0
    for first in range(0, len(pool), batch):
        score_B, kind_BK = heads(features(loaded, pool.pixels[first : first + batch]))
        scores.append(score_B)
        hits += int((kind_BK.argmax(-1) == pool.kind_N[first : first + batch]).sum())
    return {"srcc": rank_correlation(torch.cat(scores), pool.score_N), "kind_accuracy": hits / len(pool)}


def rank_correlation(first_N: Tensor, second_N: Tensor) -> float:
    """Spearman's, with average ranks for ties."""
    return float(np.corrcoef(average_ranks(first_N.numpy()), average_ranks(second_N.numpy()))[0, 1])


def average_ranks(values: np.ndarray) -> np.ndarray:
    """From 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2)[inverse]


def train(loaded: LoadedModel, pool: Pool, validation: Pool, options: argparse.Namespace) -> dict[str, float]:
    """AdamW with a cosine; returns the last check."""
    visual = loaded.model.model.visual
    heads = Heads(loaded.model.config.text_config.hidden_size, len(pool.kinds))
    parameters = [*visual.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=options.learning_rate, weight_decay=options.weight_decay, fused=True)
    warm = min(30, options.steps // 10 + 1)
    draws = np.random.default_rng(options.seed)
    order = np.empty(0, dtype=np.int64)
    started, result = time.perf_counter(), {}
    for step in range(1, options.steps + 1):
        if len(order) < options.batch:
            order = draws.permutation(len(pool))
        chosen, order = order[: options.batch], order[options.batch :]
        rate = min(step / warm, 0.5 * (1 + math.cos(math.pi * step / options.steps)))
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * max(rate, 0.01)
        score_B, kind_BK = heads(features(loaded, pool.pixels[chosen]))
        loss = F.mse_loss(score_B, (pool.score_N[chosen] - SCORE_MEAN) / SCORE_SPREAD)
        loss = loss + options.kind_weight * F.cross_entropy(kind_BK, pool.kind_N[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % options.check_every == 0 or step == options.steps:
            result = {"step": step, "loss": loss.item(), **check(loaded, heads, validation)}
            result["seconds"] = round(time.perf_counter() - started, 1)
            print(json.dumps(result), flush=True)
    return result


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Teach a tiny checkpoint's vision tower to see distortions.")
    parser.add_argument("out", type=Path, help="folder of the checkpoint; must not exist")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="JSONL of crops to train on")
    parser.add_argument("--validation", type=Path, nargs="+", required=True, help="JSONL of crops of other photographs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--kind-weight", type=float, default=1.0)
    parser.add_argument("--check-every", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        random = Path(folder) / "random"
        make_checkpoint(random, "tiny", options.seed)
        loaded = load_model(str(random), device="cpu", torch_dtype="float32", train=True)
        pool = Pool(options.data)
        train(loaded, pool, Pool(options.validation, pool.kinds), options)
        export_model(loaded.model, options.out, torch.bfloat16, str(random), None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
