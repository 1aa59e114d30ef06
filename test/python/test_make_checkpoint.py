"""The small checkpoint: same seed same bytes, a real class, Qwen's tokens in Qwen's places, filters that see detail."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from thurstone_runtime.checkpoint_init import dct_filters
from thurstone_runtime.families import load_model
from thurstone_runtime.make_checkpoint import SPECIAL_TOKENS, TAG_TOKENS, main, make_checkpoint

FILES = {
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "preprocessor_config.json",
    "generation_config.json",
}


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_writes_the_files_of_a_released_checkpoint(tiny_checkpoint: Path) -> None:
    assert {path.name for path in tiny_checkpoint.iterdir()} == FILES
    config = json.loads((tiny_checkpoint / "config.json").read_text())
    assert config["architectures"] == ["Qwen2_5_VLForConditionalGeneration"]
    assert config["model_type"] == "qwen2_5_vl"


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tiny_checkpoint: Path, tmp_path: Path) -> None:
    torch.manual_seed(99)
    state = torch.get_rng_state()
    make_checkpoint(tmp_path / "again", preset="micro", seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    make_checkpoint(tmp_path / "other", preset="micro", seed=1)
    first, other = digests(tiny_checkpoint), digests(tmp_path / "other")
    assert digests(tmp_path / "again") == first
    assert {name for name in FILES if first[name] != other[name]} == {"model.safetensors"}


def test_another_process_writes_the_same_bytes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    runtime = Path(__file__).parents[2] / "python_runtime"
    program = ["-X", "importtime", "-m", "thurstone_runtime.make_checkpoint"]
    command = [sys.executable, *program, str(tmp_path / "out"), "--preset", "micro"]
    finished = subprocess.run(command, cwd=runtime, capture_output=True, text=True, check=True)
    assert json.loads(finished.stdout)["parameters"] == 190_688
    assert not re.search(r"\| +deepspeed$", finished.stderr, re.MULTILINE)
    assert digests(tmp_path / "out") == digests(tiny_checkpoint)


def test_the_tokenizer_has_qwens_layout(loaded: Any) -> None:
    tokenizer = loaded.tokenizer
    assert len(tokenizer) == 512 == loaded.vocab_size
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS + TAG_TOKENS)) == list(range(500, 512))
    special = [token in tokenizer.all_special_tokens for token in SPECIAL_TOKENS + TAG_TOKENS]
    assert special == [True] * 8 + [False] * 4
    digits = tokenizer("3.25 / 5", add_special_tokens=False).input_ids
    assert [tokenizer.decode([token]) for token in digits if tokenizer.decode([token]).isdigit()] == [
        "3",
        "2",
        "5",
        "5",
    ]


def test_the_quickstarts_checkpoint_starts_from_distortion_filters(tmp_path: Path) -> None:
    made = make_checkpoint(tmp_path / "tiny", preset="tiny", seed=0)
    assert 2_000_000 < made["parameters"] < 3_000_000
    tower: Any = load_model(str(tmp_path / "tiny"), device="cpu").model.model.visual
    weight = tower.patch_embed.proj.weight
    assert torch.equal(weight[:, :, 0], weight[:, :, 1])
    assert torch.allclose(weight.sum(dim=2), dct_filters(192, 14), atol=1e-6)
    hidden = torch.randn(5, 192)
    mixing = tower.blocks[0].mlp.down_proj.weight[:, :192]
    assert torch.allclose(mixing @ mixing.T, torch.eye(192), atol=1e-5)
    assert torch.allclose(tower.blocks[0].mlp(hidden), hidden.square() @ mixing.T, atol=1e-4)


def test_filters_are_orthogonal_waves_of_every_plane() -> None:
    filters = dct_filters(192, 14)
    luma = filters[:134].sum(dim=1).flatten(1)
    unit = luma / luma.norm(dim=1, keepdim=True)
    assert torch.allclose(unit @ unit.T, torch.eye(134), atol=1e-4)
    chroma = filters[134:].sum(dim=1)
    assert chroma.abs().max() < 1e-5  # blind to grey


def test_full_vocabulary_has_the_rows_of_qwen(tmp_path: Path) -> None:
    made = make_checkpoint(tmp_path / "full", preset="micro", vocab="full")
    assert made["vocabulary_rows"] == 151_936
    assert load_model(str(tmp_path / "full"), device="cpu").vocab_size == 151_936


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"preset": "huge"}, 'unknown preset "huge"; expected one of micro, tiny, mid'),
        ({"vocab": "big"}, 'unknown vocab "big"'),
        ({"init": "zeros"}, 'unknown init "zeros"'),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_refuses_arguments_by_name(tmp_path: Path, setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_checkpoint(tmp_path / "out", **setting)
    assert not (tmp_path / "out").exists()


def test_never_writes_into_a_folder_that_holds_something(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    assert main([str(tmp_path), "--preset", "micro"]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
