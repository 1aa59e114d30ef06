"""Writes a small Qwen2.5-VL checkpoint with random weights, so that nothing needs a download.

    python -m thurstone_runtime.make_checkpoint OUT --preset micro|tiny|mid [--seed N] [--vocab small|full] [--init ...]

The class, the file names and the chat layout are those of the released checkpoints; only the sizes are not. The same
arguments give the same bytes in every file.

    micro  for unit tests: loads in a fraction of a second
    tiny   for the quickstart: 2.5 M parameters, starts from filters that see distortions (`checkpoint_init`)
    mid    for benchmarks: layers weigh as in a real model

`--vocab small` is a byte-level BPE of 512 tokens trained here; `full` keeps those tokens and gives the embedding and
the head Qwen2.5's 151,936 rows, so that the head costs what it costs there.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GenerationConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.utils.logging import disable_progress_bar

from .checkpoint_init import start_from_distortion_filters
from .families.loading import CLIP_MEAN, CLIP_STD
from .save_model import save_model

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Ordinary tokens to the decoder: an answer keeps its tags when special tokens are left out.
TAG_TOKENS = ("<think>", "</think>", "<answer>", "</answer>")
SMALL_VOCABULARY = 512
FULL_VOCABULARY = 151_936
MAX_POSITIONS = 32_768

# How Qwen2 cuts text before the merges: contractions, words with one leading sign, single digits, signs, line ends.
QWEN2_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# The Qwen2.5-VL layout: a default system turn when none is given, then each turn as <|im_start|>ROLE, its parts, and
# <|im_end|>; an image is <|vision_start|><|image_pad|><|vision_end|>, counted aloud when add_vision_id is set.
CHAT_TEMPLATE = (
    "{%- set seen = namespace(images=0, videos=0) -%}"
    "{%- if not messages or messages[0].role != 'system' -%}"
    "{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' -}}{%- endif -%}"
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\\n' -}}"
    "{%- if message.content is string -%}{{- message.content -}}"
    "{%- else -%}{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}{%- set seen.images = seen.images + 1 -%}"
    "{%- if add_vision_id -%}{{- 'Picture ' ~ seen.images ~ ': ' -}}{%- endif -%}"
    "{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}"
    "{%- elif part.type == 'video' -%}{%- set seen.videos = seen.videos + 1 -%}"
    "{%- if add_vision_id -%}{{- 'Video ' ~ seen.videos ~ ': ' -}}{%- endif -%}"
    "{{- '<|vision_start|><|video_pad|><|vision_end|>' -}}"
    "{%- elif part.type == 'text' -%}{{- part.text -}}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)

# What the merges are learnt from: words of questions (they make up most of a prompt, so they count several times) and
# of answers about picture quality.
QUESTION_TEXT = """
system
user
assistant
You are a helpful assistant.
You are doing a quality assessment of an image. What is your overall rating of the quality of this picture?
The rating should be a float between 1 and 5, rounded to two decimal places. The rating should be one number.
Here 1 is representing very poor quality, and 5 is representing excellent quality. Here is the question: and the task.
First output the thinking process in the tags, and then output the final answer with only one score in the tags.
Please only output the final answer with only one score in the tags. Rate the quality of this image from 1 to 5.
"""
QUESTION_WEIGHT = 4
ANSWER_TEXT = """
The picture is sharp and clear, with rich detail, natural colours and good contrast. The quality is excellent.
The picture is a little soft, with slight noise in the dark parts. The quality is good, the rating is about 4.
The image is blurred by motion and the edges are doubled. The quality is fair, so the rating is about 3.
The image shows strong compression artifacts, with blocks and ringing around the edges. The quality is poor.
The image is overexposed, too bright, and the highlights are lost. The image is underexposed and too dark.
The image is distorted by heavy white noise and impulse noise. The quality is bad, the worst of all images.
The first picture is better than the second picture, because the second is blurred. Picture 1: Picture 2:
gaussian blur, lens blur, motion blur, colour shift, saturation, quantization, compression, white noise, impulse noise
multiplicative noise, denoise, brighten, darken, mean shift, jitter, pixelate, sharpness, contrast, distortion
Look at noise, sharpness, contrast, brightness and colour. There is no visible distortion in this image.
"""


@dataclass(frozen=True)
class Preset:
    """Sizes of one checkpoint; fields have the names of Qwen2_5_VLConfig."""

    text: dict[str, Any]
    vision: dict[str, Any]
    mrope_section: list[int]
    distortion_filters: bool = False


PRESETS = {
    "micro": Preset(
        text={
            "num_hidden_layers": 2,
            "hidden_size": 64,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 128,
        },
        vision={
            "depth": 2,
            "hidden_size": 32,
            "num_heads": 2,
            "intermediate_size": 64,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1],
        },
        mrope_section=[2, 3, 3],
    ),
    "tiny": Preset(
        text={
            "num_hidden_layers": 2,
            "hidden_size": 128,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 384,
        },
        vision={
            "depth": 3,
            "hidden_size": 192,
            "num_heads": 4,
            "intermediate_size": 384,
            "out_hidden_size": 128,
            "fullatt_block_indexes": [0, 1, 2],
        },
        mrope_section=[4, 6, 6],
        distortion_filters=True,
    ),
    "mid": Preset(
        text={
            "num_hidden_layers": 8,
            "hidden_size": 512,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "intermediate_size": 1376,
        },
        vision={
            "depth": 4,
            "hidden_size": 320,
            "num_heads": 4,
            "intermediate_size": 856,
            "out_hidden_size": 512,
            "fullatt_block_indexes": [3],
        },
        mrope_section=[8, 12, 12],
    ),
}


def make_checkpoint(
    out: str | Path, preset: str = "tiny", seed: int = 0, vocab: str = "small", init: str = "auto"
) -> dict[str, Any]:
    """Writes the checkpoint into `out`, which must not exist or be empty, and returns what was made.

    `init`: "random" (transformers' own), "filters" (see `checkpoint_init`), or "auto": filters for tiny, else random.
    Raises ValueError on an argument that cannot be used, and FileExistsError when the folder holds something.
    """
    _check_arguments(preset, seed, vocab, init)
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not an empty folder; choose another, or remove it.")

    chosen = PRESETS[preset]
    tokenizer = train_tokenizer()
    ids = {token: index for token, index in tokenizer.get_vocab().items() if token in SPECIAL_TOKENS}
    rows = FULL_VOCABULARY if vocab == "full" else SMALL_VOCABULARY
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(_config(chosen, ids, rows)).float()
        if init == "filters" or (init == "auto" and chosen.distortion_filters):
            start_from_distortion_filters(model)
    model.generation_config = GenerationConfig(
        bos_token_id=ids["<|endoftext|>"],
        eos_token_id=[ids["<|im_end|>"], ids["<|endoftext|>"]],
        pad_token_id=ids["<|endoftext|>"],
        do_sample=True,
    )

    disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, folder)
    _write_tokenizer(tokenizer, folder)
    _write_json(folder / "preprocessor_config.json", _preprocessor_config())
    return {
        "path": str(folder),
        "preset": preset,
        "seed": seed,
        "vocabulary_rows": rows,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def train_tokenizer() -> Tokenizer:
    """Byte-level BPE in Qwen2's layout: merges first, then the special tokens, then the tags; 512 ids in all."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SMALL_VOCABULARY - len(SPECIAL_TOKENS) - len(TAG_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    lines = QUESTION_TEXT.strip().splitlines(keepends=True) * QUESTION_WEIGHT + ANSWER_TEXT.strip().splitlines()
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in TAG_TOKENS])
    return tokenizer


def _check_arguments(preset: str, seed: int, vocab: str, init: str) -> None:
    for name, value, allowed in (
        ("preset", preset, tuple(PRESETS)),
        ("vocab", vocab, ("small", "full")),
        ("init", init, ("auto", "random", "filters")),
    ):
        if value not in allowed:
            raise ValueError(f'unknown {name} "{value}"; expected one of {", ".join(allowed)}.')
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed is {seed}; expected an integer from 0 to 2^63 - 1.")


def _config(preset: Preset, ids: dict[str, int], rows: int) -> Qwen2_5_VLConfig:
    config = Qwen2_5_VLConfig(
        text_config=dict(
            vocab_size=rows,
            max_position_embeddings=MAX_POSITIONS,
            rms_norm_eps=1e-6,
            bos_token_id=ids["<|endoftext|>"],
            eos_token_id=ids["<|im_end|>"],
            pad_token_id=ids["<|endoftext|>"],
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": preset.mrope_section},
            **preset.text,
        ),
        vision_config=dict(
            in_channels=3,
            patch_size=14,
            spatial_merge_size=2,
            temporal_patch_size=2,
            window_size=112,
            tokens_per_second=2,
            hidden_act="silu",
            **preset.vision,
        ),
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    config.dtype = "float32"
    return config


def _preprocessor_config() -> dict[str, Any]:
    return {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(CLIP_MEAN),
        "image_std": list(CLIP_STD),
        "image_processor_type": "Qwen2VLImageProcessor",
        "max_pixels": 1_003_520,
        "merge_size": 2,
        "min_pixels": 3136,
        "patch_size": 14,
        "processor_class": "Qwen2_5_VLProcessor",
        "resample": 3,
        "rescale_factor": 1 / 255,
        "temporal_patch_size": 2,
    }


def _write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "model_max_length": MAX_POSITIONS,
        "pad_token": "<|endoftext|>",
        "padding_side": "left",
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    _write_json(folder / "tokenizer_config.json", config)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status: 0, or 2 when an argument cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m thurstone_runtime.make_checkpoint",
        description="Write a small Qwen2.5-VL checkpoint with random weights.",
    )
    parser.add_argument("out", help="folder to write; must not exist, or be empty")
    parser.add_argument("--preset", choices=list(PRESETS), default="tiny", help="sizes (default: tiny)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: 0)")
    parser.add_argument("--vocab", choices=["small", "full"], default="small", help="512 or 151,936 rows")
    parser.add_argument("--init", choices=["auto", "random", "filters"], default="auto", help="initial weights")
    options = parser.parse_args(arguments)
    try:
        made = make_checkpoint(
            options.out, preset=options.preset, seed=options.seed, vocab=options.vocab, init=options.init
        )
    except (ValueError, OSError) as error:
        print(f"make_checkpoint: {error}", file=sys.stderr)
        return 2
    print(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
