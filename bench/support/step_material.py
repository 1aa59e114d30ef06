"""What both programs of bench/step.ts work on: a checkpoint of 30 M parameters, and pictures of noise.

    python step_material.py FOLDER --vocabulary small|full --width W --height H --pictures N

Writes FOLDER/model and FOLDER/pictures/0.png and on. The checkpoint is `make_checkpoint`'s preset mid with two changes.
transformers' processor wants a video_preprocessor_config.json. And an answer cannot end by chance: a step then has the
same number of tokens in every round and on both sides.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from thurstone_runtime.make_checkpoint import make_checkpoint

# Every token but the ends starts with this in the first hidden dimension, several times what the layers add to it, so
# that it is positive wherever a token is predicted.
EVERY_TOKEN = 1.0
# The head is tied to the embedding: what is negative there is hardly ever predicted (e^-14 against any other).
ENDS = -2.0
# Octaves of noise, each with so much of the last one's strength: a spectrum of roughly 1 / f, as photographs have.
OCTAVES, FADING = range(2, 9), 0.6


def make_model(folder: Path, vocabulary: str) -> None:
    """The checkpoint."""
    make_checkpoint(folder, preset="mid", vocab=vocabulary)
    ends = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    weights = load_file(folder / "model.safetensors")
    table = next(weight for name, weight in weights.items() if name.endswith("embed_tokens.weight"))
    table[:, 0] = EVERY_TOKEN
    table[torch.tensor(ends), 0] = ENDS
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    del processor["image_processor_type"]
    video = {**processor, "video_processor_type": "Qwen2VLVideoProcessor"}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video, indent=2) + "\n")


def noise_picture(seed: int, width: int, height: int) -> Image.Image:
    """Always the same for the same arguments."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for octave in OCTAVES:
        columns = 2**octave
        grid = random.integers(0, 256, (columns * height // width + 1, columns, 3), dtype=np.uint8)
        smooth = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        total += (np.asarray(smooth, np.float32) - 127.5) * FADING ** OCTAVES.index(octave)
    low, high = total.min(), total.max()
    return Image.fromarray(((total - low) / (high - low) * 255).astype(np.uint8))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vocabulary", choices=["small", "full"], required=True)
    for name in ("width", "height", "pictures"):
        parser.add_argument(f"--{name}", type=int, required=True)
    asked = parser.parse_args()
    make_model(asked.folder / "model", asked.vocabulary)
    pictures = asked.folder / "pictures"
    pictures.mkdir()
    for number in range(asked.pictures):
        noise_picture(number, asked.width, asked.height).save(pictures / f"{number}.png")


if __name__ == "__main__":
    main()
